"""The cache: entries found by the content they were made from, each whole or not there.

An entry is a directory with a list of its files (`file_list`). Whoever uses one holds a shared lock on a
file in it, so that `gc` leaves it alone; the system frees the lock when the process ends, however it ends.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any, Self

from ftc.facts import staging
from ftc.facts.file_list import LEASE, damage, sealed, unsealed, write_list
from ftc.facts.locks import is_at, take

DISTRIBUTIONS = ("duckdb", "tokenizers", "jinja2", "pyarrow")
TAKEN = (errno.ENOTEMPTY, errno.EEXIST)
FULL = (errno.ENOSPC, errno.EDQUOT)
NOTED = 8
"""Users that an entry names, the last one first."""


class CacheProblem(Exception):  # noqa: N818 - it names a finding, as others do
    """The cache cannot be used: `code` of the catalogue, a sentence, and what to do."""

    def __init__(self, code: str, message: str, help_: str) -> None:
        super().__init__(message)
        self.code, self.message, self.help = code, message, help_


def cache_root() -> Path:
    """`FTC_CACHE_DIR`, or the user's cache directory."""
    stated = os.environ.get("FTC_CACHE_DIR")
    if stated:
        return Path(stated)
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("ftc"))


def cache_key(kind: str, inputs: Mapping[str, Any], options: Mapping[str, Any], *, code: str = "") -> str:
    """SHA-256 of all that decides an entry's bytes; the values must be JSON."""
    value = {"kind": kind, "code": code, "inputs": inputs, "options": options}
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return sha256(text.encode()).hexdigest()


def code_digest(*parts: str) -> str:
    """Digest of source files and of the versions of Python and of the libraries that decide bytes.

    `parts` are files or directories inside the package `ftc`, such as `data` or `facts/sandbox.py`.
    """
    from importlib.metadata import version

    root, digest = Path(__file__).parents[1], sha256()
    for part in parts:
        place = root / part
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(file.relative_to(root).as_posix().encode() + b"\0")
            digest.update(file.read_bytes() + b"\0")
    digest.update(f"python={sys.version_info[0]}.{sys.version_info[1]}\0".encode())
    for name in DISTRIBUTIONS:
        digest.update(f"{name}={version(name)}\0".encode())
    return digest.hexdigest()


def is_full(error: OSError) -> bool:
    """Whether an error says that the disk is full; Arrow says it in words alone."""
    return error.errno in FULL or "No space left" in str(error)


def full_disk(root: Path) -> CacheProblem:
    """The finding for a disk without space."""
    return CacheProblem(
        "FTC702",
        f"there is no space left on the disk of {root}",
        "free some space, or set FTC_CACHE_DIR to a directory on another disk",
    )


def problem_of(error: OSError, root: Path) -> CacheProblem:
    """What an error of the operating system means for the cache."""
    if is_full(error):
        return full_disk(root)
    return CacheProblem(
        "FTC708",
        f"the cache at {root} cannot be written: {error.strerror or error}",
        "make the directory writable, or set FTC_CACHE_DIR to one that is",
    )


@dataclass(frozen=True, slots=True)
class Damaged:
    """An entry that was not as it was made, and was removed."""

    kind: str
    key: str
    reason: str


class Cache:
    """Directories by kind and key under one root; made lazily, shared by processes.

    Entries that were asked for or made through it are safe from `gc` until it is closed or forgotten.
    `user` is noted in the entries as what used them; `damaged` lists what was found damaged.
    """

    def __init__(self, root: Path | None = None, *, user: str | None = None) -> None:
        self.root = root or cache_root()
        self.damaged: list[Damaged] = []
        self._user = user
        self._leases: dict[Path, int] = {}
        weakref.finalize(self, _close_all, self._leases)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        _close_all(self._leases)

    def place(self, kind: str, key: str) -> Path:
        """Where an entry is, or would be."""
        return self.root / kind / key[:2] / key

    def entry(self, kind: str, key: str, *, deep: bool = False) -> Path | None:
        """The directory of a whole entry, or None; a damaged one is removed. Raises CacheProblem.

        At each use the names and sizes of all its files are compared, and the SHA-256 of small ones; of
        every file where `deep`, for what nothing else checks before it decides what is trained.
        """
        place = self.place(kind, key)
        if not self._leased(place):
            return None
        reason = damage(place, deep=deep)
        if reason is not None:
            self.damaged.append(Damaged(kind, key, reason))
            self.drop(kind, key)
            return None
        return place

    def _leased(self, place: Path) -> bool:
        """Whether the entry is there, held from now on; without locks, whether it is there."""
        held = self._leases.get(place)
        if held is not None and is_at(held, place / LEASE):
            return True
        self._let_go(place)
        try:
            held = take(place / LEASE, shared=True, wait=True, create=False)
        except OSError:
            return place.is_dir()
        self._hold(place, held)
        return True

    def _hold(self, place: Path, held: int) -> None:
        self._leases[place] = held
        note_use(held, self._user)

    def _let_go(self, place: Path) -> None:
        held = self._leases.pop(place, None)
        if held is not None:
            os.close(held)

    def drop(self, kind: str, key: str) -> None:
        """Remove an entry, such as one whose files turned out damaged; raises CacheProblem.

        One that another process has put in its place meanwhile stays.
        """
        place = self.place(kind, key)
        held = self._leases.get(place)
        self.remove(place, only_if=lambda: held is None or is_at(held, place / LEASE))
        self._let_go(place)

    def remove(self, place: Path, *, only_if: Callable[[], bool]) -> bool:
        """Remove a directory of the cache at once; returns whether it did. Raises CacheProblem.

        `only_if` is asked while nobody else removes anything.
        """
        aside = staging.new_place(self.root, staging.GONE)
        with self._translated():
            with self._removing():
                if not place.is_dir() or not only_if():
                    return False
                aside.parent.mkdir(parents=True, exist_ok=True)
                place.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)
        return True

    @contextmanager
    def _removing(self) -> Iterator[None]:
        """Be alone among those who remove entries."""
        held = None
        with suppress(OSError):
            held = take(self.root / ".removing", wait=True)
        try:
            yield
        finally:
            if held is not None:
                os.close(held)

    @contextmanager
    def alone(self, kind: str, key: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Be the only process that makes an entry; `waiting` is called before waiting for another.

        Where that process is killed, the next one goes on. Raises CacheProblem.
        """
        with ExitStack() as held:
            with self._translated():
                held.enter_context(staging.alone(self.root, f"{kind}-{key}", waiting))
            yield

    @contextmanager
    def store(self, kind: str, key: str) -> Iterator[Path]:
        """A directory to fill, which becomes the entry when the block ends without an exception.

        The entry appears at once and whole; on any exception nothing of it stays. Where another process
        stored the same entry first, that one stays. Raises CacheProblem (FTC702 disk full, FTC708
        unwritable).
        """
        with self.scratch() as scratch:
            directory = scratch / "entry"
            directory.mkdir()
            yield directory
            self.adopt(kind, key, directory)

    def adopt(self, kind: str, key: str, directory: Path) -> Path:
        """Make a directory inside `scratch` the entry, and return where it is; raises CacheProblem.

        Its files are listed with their digests first. The entry is held from before it can be seen.
        """
        place, held = self.place(kind, key), None
        with self._translated():
            write_list(directory)
            (directory / LEASE).touch()
            with suppress(OSError):
                held = take(directory / LEASE, shared=True)
            try:
                while not (ours := _publish(directory, place)) and self.entry(kind, key) is None:
                    continue
            except BaseException:
                _close(held)
                raise
        if not ours:
            _close(held)
        elif held is not None:
            self._let_go(place)
            self._hold(place, held)
        return place

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A directory on the cache's disk that is gone after the block; raises CacheProblem."""
        with ExitStack() as made:
            with self._translated():
                directory = made.enter_context(staging.staging_directory(self.root))
            try:
                yield directory
            except OSError as error:
                if is_full(error):
                    raise full_disk(self.root) from error
                raise

    def recall(self, kind: str, key: str) -> bytes | None:
        """A small value kept by `remember`, or None where there is none or it is damaged."""
        path = self.place(kind, key).with_suffix(".json")
        try:
            kept = path.read_bytes()
        except OSError:
            return None
        with suppress(OSError):
            os.utime(path)
        return unsealed(kept)

    def remember(self, kind: str, key: str, value: bytes) -> None:
        """Keep a small value where that is possible; losing it costs time alone, so errors are no matter."""
        place = self.place(kind, key).with_suffix(".json")
        part = place.with_name(f".{place.name}.{os.getpid()}-{token_hex(4)}")
        with suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(sealed(value))
            part.replace(place)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise problem_of(error, self.root) from error


def note_use(held: int, user: str | None) -> None:
    """Write into an open lease that its entry is used now, and by what; losing that is no matter."""
    with suppress(OSError):
        os.utime(held)
        known = users(os.pread(held, 1 << 16, 0))
        if user is not None and known[:1] != (user,):
            names = [user, *(name for name in known if name != user)][:NOTED]
            text = json.dumps(names).encode()
            os.ftruncate(held, 0)
            os.pwrite(held, text, 0)


def users(noted: bytes) -> tuple[str, ...]:
    """What used an entry, the last one first, from the text of its lease."""
    try:
        names = json.loads(noted)
    except ValueError:
        return ()
    return tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else ()


def _publish(directory: Path, place: Path) -> bool:
    """Move a whole directory to its place at once; False where there is one already. Raises OSError."""
    for file in sorted(directory.rglob("*")):
        _sync(file)
    _sync(directory)
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        directory.rename(place)
    except OSError as error:
        if error.errno not in TAKEN:
            raise
        return False
    _sync(place.parent)
    return True


def _close(held: int | None) -> None:
    if held is not None:
        os.close(held)


def _close_all(leases: dict[Path, int]) -> None:
    while leases:
        os.close(leases.popitem()[1])


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
