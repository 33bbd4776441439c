"""Arrow columns from Python values by their buffers: `pa.array` would import pandas, which takes seconds."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from ftc.data.work.batch import Int32, UInt8


def _bits(flags: UInt8) -> Any:
    """Bytes of 0 and 1 as a bitmap, least significant bit first."""
    import numpy as np
    import pyarrow as pa

    return pa.py_buffer(np.packbits(flags, bitorder="little").tobytes())


def _validity(values: Iterable[object]) -> Any:
    import numpy as np

    present = bytes(value is not None for value in values)
    return _bits(np.frombuffer(present, dtype=np.uint8)) if 0 in present else None


def strings(values: Sequence[str | None]) -> pa.Array:
    """A column of texts, which may be null. Raises OverflowError above 2 GiB of text."""
    import pyarrow as pa

    encoded = [value.encode() if value is not None else b"" for value in values]
    offsets = array("i", accumulate((len(text) for text in encoded), initial=0))
    buffers = [_validity(values), pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(values), buffers)


def natural_numbers(values: Int32) -> pa.Array:
    """A column of 32-bit numbers, null where a value is below 0."""
    import numpy as np
    import pyarrow as pa

    present = (values >= 0).astype(np.uint8)
    validity = None if present.all() else _bits(present)
    return pa.Array.from_buffers(
        pa.int32(), len(values), [validity, pa.py_buffer(np.maximum(values, 0).tobytes())]
    )


def numbers(values: Int32) -> pa.Array:
    """A column of 32-bit numbers without nulls."""
    import pyarrow as pa

    return pa.Array.from_buffers(pa.int32(), len(values), [None, pa.py_buffer(values)])


def flags(values: UInt8) -> pa.Array:
    """A column of booleans from bytes of 0 and 1."""
    import pyarrow as pa

    return pa.Array.from_buffers(pa.bool_(), len(values), [None, _bits(values)])


def lists(values: pa.Array, offsets: Int32) -> pa.Array:
    """A column of lists over a column of their items; there is one offset more than there are lists."""
    import pyarrow as pa

    buffers = [None, pa.py_buffer(offsets)]
    return pa.Array.from_buffers(pa.list_(values.type), len(offsets) - 1, buffers, children=[values])


def list_offsets(column: pa.ListArray) -> Int32:
    """Where each list of a column begins among its values, and where the last one ends."""
    import numpy as np

    return np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1]


def list_numbers(column: pa.ListArray) -> tuple[Int32, Int32]:
    """The items of a column of lists of 32-bit numbers, and where each list begins in them."""
    import numpy as np

    offsets = list_offsets(column)
    items = column.values
    numbers = np.frombuffer(items.buffers()[1], np.int32)[items.offset : items.offset + len(items)]
    return numbers[offsets[0] : offsets[-1]], offsets - offsets[0]
