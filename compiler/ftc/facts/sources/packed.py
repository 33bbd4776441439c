"""Files as bytes, decompressed where their names say that they are compressed."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import IO


def open_bytes(path: Path) -> IO[bytes]:
    """A file's bytes, decompressed where its name ends in .gz or .zst. Raises OSError, EOFError."""
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    if suffix != ".zst":
        return path.open("rb")
    import io

    import pyarrow as pa

    return io.BufferedReader(pa.input_stream(str(path), compression="zstd", buffer_size=None))
