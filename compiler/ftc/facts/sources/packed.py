"""Files as bytes, decompressed where their names say that they are compressed."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class DamagedFile(OSError):  # noqa: N818 - a state of a file
    """A file that is not whole, or cannot be read: its name and the reason."""


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """A file's bytes, decompressed where its name ends in .gz or .zst. Raises DamagedFile."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".zst":
            with _zstandard(path) as file:
                yield file
        else:
            with gzip.open(path, "rb") if suffix == ".gz" else path.open("rb") as file:
                yield file  # type: ignore[misc]
    except (OSError, EOFError, zlib.error) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise DamagedFile(f"{path.name} cannot be read: {words[:1].lower()}{words[1:]}") from error


@contextmanager
def _zstandard(path: Path) -> Iterator[IO[bytes]]:
    import io

    import pyarrow as pa

    try:
        with io.BufferedReader(pa.input_stream(str(path), compression="zstd", buffer_size=None)) as file:
            yield file
    except pa.ArrowInvalid as error:
        raise EOFError(str(error)) from error
