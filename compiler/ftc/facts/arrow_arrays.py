"""Arrow columns from Python values by their buffers: `pa.array` would import pandas, which takes seconds."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


def _validity(values: Sequence[object]) -> Any:
    """The bitmap of what is not null; None where nothing is."""
    import numpy as np
    import pyarrow as pa

    present = bytes(value is not None for value in values)
    if 0 not in present:
        return None
    return pa.py_buffer(np.packbits(np.frombuffer(present, dtype=np.uint8), bitorder="little").tobytes())


def binaries(values: Sequence[bytes | None]) -> pa.Array:
    """A column of bytes, which may be null. Raises OverflowError above 2 GiB in all."""
    import pyarrow as pa

    filled = [value or b"" for value in values]
    offsets = array("i", accumulate(map(len, filled), initial=0))
    buffers = [_validity(values), pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"".join(filled))]
    return pa.Array.from_buffers(pa.binary(), len(values), buffers)


def texts(values: Sequence[str | None]) -> pa.Array:
    """A column of texts, which may be null. Raises OverflowError above 2 GiB of text."""
    import pyarrow as pa

    return binaries([None if value is None else value.encode() for value in values]).cast(pa.string())


def integers(values: Sequence[int | None]) -> pa.Array:
    """A column of 64-bit whole numbers, which may be null. Raises OverflowError beyond those."""
    import pyarrow as pa

    buffers = [_validity(values), pa.py_buffer(array("q", [value or 0 for value in values]).tobytes())]
    return pa.Array.from_buffers(pa.int64(), len(values), buffers)


def doubles(values: Sequence[float | None]) -> pa.Array:
    """A column of 64-bit floating-point numbers, which may be null."""
    import pyarrow as pa

    buffers = [_validity(values), pa.py_buffer(array("d", [value or 0.0 for value in values]).tobytes())]
    return pa.Array.from_buffers(pa.float64(), len(values), buffers)
