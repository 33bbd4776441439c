"""Files that are either whole or not there: written beside their place, then renamed into it."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path
from typing import Any, BinaryIO

UNSYNCED = (errno.EINVAL, errno.ENOTSUP)
"""What a file system answers that cannot wait for a directory: such a one keeps its order by itself."""


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A binary file to fill, which appears at `path` when the block ends without an exception."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Put `data` at `path`, at once or not at all."""
    with whole_file(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Put `text` at `path` in UTF-8, at once or not at all."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Put `value` at `path` as indented JSON in its own key order."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def put_on_disk(directory: Path, *, deep: bool = True) -> None:
    """Wait until a directory's entries, and all below it where `deep`, would outlive a loss of power.

    A rename after that is never on the disk before what it renames. Raises OSError.
    """
    for path in (*(sorted(directory.rglob("*")) if deep else ()), directory):
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        except OSError as error:
            if error.errno not in UNSYNCED:
                raise
        finally:
            os.close(number)


def link_or_copy(source: Path, target: Path) -> None:
    """Put `source`'s content at `target`: a hard link where the file system has them, else a copy."""
    try:
        target.unlink(missing_ok=True)
        os.link(source, target)
    except OSError:
        with source.open("rb") as from_file, whole_file(target) as to_file:
            for block in iter(lambda: from_file.read(1 << 20), b""):
                to_file.write(block)
