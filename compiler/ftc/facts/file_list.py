"""The list of an entry's files, with sizes and SHA-256s, by which damage is found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path

LIST = ".files"
LEASE = ".lease"
"""A file that those who use the entry hold locked; its time is that of the last use."""

OWN = (LIST, LEASE)
SMALL = 1 << 20
"""Bytes up to which a file is digested at every use; of larger ones the size is compared."""


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file of an entry by its name inside it."""

    name: str
    bytes: int
    sha256: str


def sealed(value: bytes) -> bytes:
    """A value with its digest behind it, so that `unsealed` finds every change."""
    return value + b"\n" + sha256(value).hexdigest().encode()


def unsealed(kept: bytes) -> bytes | None:
    """The value of `sealed`; None where it is damaged."""
    value, _, digest = kept.rpartition(b"\n")
    return value if digest == sha256(value).hexdigest().encode() else None


def _files(directory: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if name not in OWN and not path.is_dir():
            yield name, path


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def write_list(directory: Path) -> None:
    """List every file that is in a directory now. Raises OSError."""
    found = [[name, path.stat().st_size, _digest(path)] for name, path in _files(directory)]
    (directory / LIST).write_bytes(sealed(json.dumps(found).encode()))


def read_list(directory: Path) -> tuple[ListedFile, ...] | None:
    """The files as they were when the entry was made; None where the list is missing or damaged."""
    try:
        value = unsealed((directory / LIST).read_bytes())
        return None if value is None else tuple(ListedFile(*entry) for entry in json.loads(value))
    except (OSError, ValueError, TypeError):
        return None


def damage(directory: Path, *, deep: bool) -> str | None:
    """What is wrong with an entry, in words; None if it is as it was made.

    Names and sizes of all files are compared, and the SHA-256 of those up to `SMALL` bytes, or of every
    file where `deep`.
    """
    listed = read_list(directory)
    if listed is None:
        return "the list of its files is missing or damaged"
    there = dict(_files(directory))
    for file in listed:
        path = there.pop(file.name, None)
        if path is None:
            return f"{file.name} is missing"
        wrong = _wrong(path, file, deep=deep)
        if wrong is not None:
            return f"{file.name} {wrong}"
    return f"{min(there)} does not belong there" if there else None


def _wrong(path: Path, file: ListedFile, *, deep: bool) -> str | None:
    try:
        if path.stat().st_size != file.bytes:
            return "has another size"
        if (deep or file.bytes <= SMALL) and _digest(path) != file.sha256:
            return "has other bytes"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return None
