"""The cache: entries found by the content they were made from, each whole or not there."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any

DISTRIBUTIONS = ("duckdb", "tokenizers", "jinja2", "pyarrow")
FULL = (errno.ENOSPC, errno.EDQUOT)
ABANDONED_AFTER = 24 * 3600.0
"""Seconds after which a staging directory belongs to a process that was killed."""


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
    """Digest of source files and of the versions of the libraries that decide bytes.

    `parts` are files or directories inside the package `ftc`, such as `data` or `facts/sandbox.py`.
    """
    from importlib.metadata import version

    root, digest = Path(__file__).parents[1], sha256()
    for part in parts:
        place = root / part
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(file.relative_to(root).as_posix().encode() + b"\0")
            digest.update(file.read_bytes() + b"\0")
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


class Cache:
    """Directories by kind and key under one root; made lazily, shared by processes without locks."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or cache_root()

    def _place(self, kind: str, key: str) -> Path:
        return self.root / kind / key[:2] / key

    def entry(self, kind: str, key: str) -> Path | None:
        """The directory of a whole entry, or None."""
        place = self._place(kind, key)
        return place if place.is_dir() else None

    def drop(self, kind: str, key: str) -> None:
        """Remove an entry, such as one whose files turned out damaged."""
        with self._translated():
            place, aside = self._place(kind, key), self._staging()
            with suppress(FileNotFoundError):
                place.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)

    @contextmanager
    def store(self, kind: str, key: str) -> Iterator[Path]:
        """A directory to fill, which becomes the entry when the block ends without an exception.

        The entry appears at once and whole; on any exception nothing of it stays. Where another process
        stored the same entry first, that one stays. Raises CacheProblem (FTC702 disk full, FTC708
        unwritable).
        """
        with self.scratch() as scratch:
            staging = scratch / "entry"
            staging.mkdir()
            yield staging
            self.adopt(kind, key, staging)

    def adopt(self, kind: str, key: str, directory: Path) -> Path:
        """Make a directory inside `scratch` the entry, and return where it is; raises CacheProblem."""
        with self._translated():
            self._publish(directory, self._place(kind, key))
        return self._place(kind, key)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A directory on the cache's disk that is gone after the block; raises CacheProblem."""
        with self._translated():
            staging = self._staging()
            staging.mkdir(parents=True)
            self._sweep(staging.parent)
        try:
            yield staging
        except OSError as error:
            if is_full(error):
                raise full_disk(self.root) from error
            raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def recall(self, kind: str, key: str) -> bytes | None:
        """A small value kept by `remember`, or None where there is none or it is damaged."""
        try:
            kept = self._place(kind, key).with_suffix(".json").read_bytes()
        except OSError:
            return None
        value, _, digest = kept.rpartition(b"\n")
        return value if digest == _digest(value) else None

    def remember(self, kind: str, key: str, value: bytes) -> None:
        """Keep a small value where that is possible; losing it costs time alone, so errors are no matter."""
        place = self._place(kind, key).with_suffix(".json")
        part = place.with_name(f".{place.name}.{os.getpid()}-{token_hex(4)}")
        with suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(value + b"\n" + _digest(value))
            part.replace(place)

    def _staging(self) -> Path:
        return self.root / "staging" / f"{os.getpid()}-{token_hex(8)}"

    def _publish(self, staging: Path, place: Path) -> None:
        for file in sorted(staging.rglob("*")):
            _sync(file)
        _sync(staging)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            staging.rename(place)
        except OSError:
            if not place.is_dir():
                raise
        _sync(place.parent)

    def _sweep(self, staging: Path) -> None:
        """Remove what killed processes left behind."""
        for left in staging.iterdir():
            with suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > ABANDONED_AFTER:
                    shutil.rmtree(left, ignore_errors=True)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise problem_of(error, self.root) from error


def _digest(value: bytes) -> bytes:
    return sha256(value).hexdigest().encode()


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
