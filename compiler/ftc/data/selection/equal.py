"""Which rows say the same as an earlier one, by digests of 128 bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ftc.data.selection.hashes import Flags, UInt64
from ftc.facts.sandbox import identifier, quoted

if TYPE_CHECKING:
    from ftc.data.query.result import Result

Int64 = NDArray[np.int64]


def digests(result: Result, columns: Sequence[str]) -> UInt64:
    """An MD5 of some columns' values for each row, as two numbers; shape (rows, 2)."""
    values = ", ".join(f"{quoted(name)}: r.{identifier(name)}" for name in sorted(columns))
    expression = f"unhex(md5(to_json({{{values}}})::varchar))"
    found = []
    for batch in result.computed([expression]):
        _, offsets, data = batch.column(0).buffers()
        start = np.frombuffer(offsets, dtype=np.int32)[batch.column(0).offset] if len(batch) else 0
        bytes_ = np.frombuffer(data, dtype=np.uint8)[start : start + 16 * len(batch)]
        found.append(np.frombuffer(bytes_.tobytes(), dtype=np.uint64).reshape(-1, 2))
    return np.concatenate(found) if found else np.empty((0, 2), dtype=np.uint64)


def first_of_equal(values: UInt64) -> Int64:
    """For each row the number of the first row that is equal to it, which may be itself."""
    order = np.lexsort((values[:, 1], values[:, 0]))
    ordered = values[order]
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = np.any(ordered[1:] != ordered[:-1], axis=1)
    starts = np.flatnonzero(new)
    found = np.empty(len(order), dtype=np.int64)
    found[order] = np.repeat(order[starts], np.diff(np.append(starts, len(order))))
    return found


def among(values: UInt64, wanted: UInt64) -> Flags:
    """Which rows of `values` are rows of `wanted` too."""
    both = np.concatenate([wanted, values])
    return first_of_equal(both)[len(wanted) :] < len(wanted)
