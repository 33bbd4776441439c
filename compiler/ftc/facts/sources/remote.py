"""Files on a web server or in S3: fetched once into the cache, and again when they are others.

A file is asked for by its tag (or its time and size); what has not changed is not fetched again. A download
that was broken off goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit, urlunsplit

from ftc.facts.cache import Cache
from ftc.facts.sources.base import SourceError
from ftc.facts.sources.local import MAGIC
from ftc.facts.sources.place import Entry, Found, NotFetched, Reach
from ftc.facts.sources.store import Remote, Store, Unreachable, open_store
from ftc.plan.steps import FileDigest
from ftc.recipe.source_kinds import scheme

LISTS, KEPT = "remote", "fetched"
KNOWN = ("https", "http", "s3")


@dataclass(frozen=True)
class Copy:
    """A file as it was fetched: its address, the tag it had, its size and SHA-256."""

    address: str
    tag: str
    bytes: int
    sha256: str

    @property
    def name(self) -> str:
        """The file's own name."""
        return PurePosixPath(urlsplit(self.address).path).name or "file"

    @property
    def key(self) -> str:
        """The key of its entry in the cache: the same bytes may have several names."""
        return sha256(f"{self.sha256} {self.name}".encode()).hexdigest()


def find(entry: Entry, cache: Cache, reach: Reach) -> Found:
    """The files at an address, fetched where that is needed. Raises SourceError, CacheProblem, OSError."""
    _refuse(entry)
    known = _known(entry, cache)
    if not reach.fetch:
        if known is None:
            message = f"the source `{entry.name}` is not fetched yet, so its columns are not checked"
            raise NotFetched(message, ("`ftc plan` fetches it",), code="FTC221")
        return _found(entry, known, cache)
    try:
        with open_store(scheme(entry.path)) as store:
            files = _listed(entry, store)
            copies = [_fetched(entry, store, file, known or (), cache, reach) for file in files]
    except Unreachable as error:
        if known is None or error.final:
            raise SourceError(
                f"the source `{entry.name}` cannot be fetched: {error}", error.help, code="FTC222"
            ) from None
        warning = SourceError(
            f"the source `{entry.name}` cannot be reached, and what was fetched before is used",
            notes=(str(error),),
            code="FTC223",
        )
        return _found(entry, known, cache, (warning,))
    value = json.dumps([asdict(copy) for copy in copies]).encode()
    cache.remember(LISTS, _list_key(entry), value)
    return _found(entry, copies, cache)


def _refuse(entry: Entry) -> None:
    if scheme(entry.path) not in KNOWN:
        raise SourceError(
            f"the source `{entry.name}` has an address of a kind that cannot be read: {scheme(entry.path)}://",
            (f"{', '.join(f'{known}://' for known in KNOWN)} can; a file of this machine needs none",),
            code="FTC201",
        )
    if urlsplit(entry.path).password:
        raise SourceError(
            f"the address of the source `{entry.name}` holds a password, which would stand in every run",
            ("leave it out of the recipe",),
            code="FTC222",
        )


def _list_key(entry: Entry) -> str:
    return sha256(entry.path.encode()).hexdigest()


def _known(entry: Entry, cache: Cache) -> tuple[Copy, ...] | None:
    """What was fetched from the address before, as far as it is all there."""
    value = cache.recall(LISTS, _list_key(entry))
    if value is None:
        return None
    copies = tuple(Copy(**copy) for copy in json.loads(value))
    there = all(cache.entry(KEPT, copy.key) is not None for copy in copies)
    return copies if there else None


def _found(
    entry: Entry, copies: Sequence[Copy], cache: Cache, warnings: tuple[SourceError, ...] = ()
) -> Found:
    names = tuple(_shown(copy.address) for copy in copies)
    files = tuple(
        FileDigest(name=name, bytes=copy.bytes, sha256=copy.sha256)
        for name, copy in zip(names, copies, strict=True)
    )
    paths = tuple(cache.place(KEPT, copy.key) / copy.name for copy in copies)
    return Found(_shown(entry.path), names, paths, digests=files, warnings=warnings)


def _shown(address: str) -> str:
    """An address without what may be secret in it: the user, and what stands behind the question mark."""
    if scheme(address) == "s3":
        return address
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _listed(entry: Entry, store: Store) -> Sequence[Remote]:
    """The files that an address names, in the order of their names. Raises SourceError and Unreachable."""
    is_glob = scheme(entry.path) == "s3" and any(character in entry.path for character in MAGIC)
    try:
        files = store.matching(entry.path) if is_glob else (store.about(entry.path),)
    except FileNotFoundError:
        message = f"the source `{entry.name}` does not exist: {_shown(entry.path)}"
        raise SourceError(message, code="FTC201") from None
    except IsADirectoryError:
        message = f"the source `{entry.name}` is a directory: {entry.path}"
        help_ = (f'name its files: "{entry.path.rstrip("/")}/*.parquet"',)
        raise SourceError(message, help_, code="FTC201") from None
    if not files:
        raise SourceError(f"the source `{entry.name}` matches no file: {entry.path}", code="FTC201")
    return files


def _fetched(
    entry: Entry, store: Store, file: Remote, known: Sequence[Copy], cache: Cache, reach: Reach
) -> Copy:
    """A file's copy: that from before where its tag is the same, else a new one."""
    for copy in known:
        if file.tag and (copy.address, copy.tag) == (file.address, file.tag):
            return copy
    phase = f"fetching {entry.name} (MB)"
    with cache.alone(KEPT, _part_key(file)), cache.scratch() as scratch:
        directory = scratch / "fetched"
        directory.mkdir()
        part = _part(cache, file)
        digest, size = store.download(file, part, lambda done, total: reach.progress(phase, done, total))
        copy = Copy(file.address, file.tag, size, digest)
        part.replace(directory / copy.name)
        if cache.entry(KEPT, copy.key) is None:
            cache.adopt(KEPT, copy.key, directory)
        return copy


def _part_key(file: Remote) -> str:
    return sha256(f"{file.address} {file.tag}".encode()).hexdigest()


def _part(cache: Cache, file: Remote) -> Path:
    """Where a download is kept until it is whole: by the tag, so that parts of two states never mix."""
    place = cache.root / "partial" / f"{_part_key(file)}.part"
    place.parent.mkdir(parents=True, exist_ok=True)
    if not file.tag:
        place.unlink(missing_ok=True)
    return place
