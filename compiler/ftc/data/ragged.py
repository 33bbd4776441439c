"""Rows of different lengths in one flat array: taken by their starts and lengths, without Python per item."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Item = TypeVar("Item", bound=np.generic)

SEVERAL = 4
"""Stretches that must follow one another on average for them to be copied together."""


def gather(values: NDArray[Item], starts: NDArray[Any], lengths: NDArray[Any]) -> NDArray[Item]:
    """The items of stretches of a flat array, one stretch after the other."""
    starts = np.asarray(starts, dtype=np.int64)
    behind = starts + lengths
    breaks = np.flatnonzero(starts[1:] != behind[:-1])
    if len(starts) and len(breaks) * SEVERAL <= len(starts):  # most stretches follow one another
        first, last = starts[np.append(0, breaks + 1)].tolist(), behind[np.append(breaks, -1)].tolist()
        return np.concatenate([values[start:end] for start, end in zip(first, last, strict=True)])
    ends = np.cumsum(lengths, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    shift = np.repeat(starts - (ends - lengths), lengths)
    return values[shift + np.arange(total, dtype=np.int64)]


def offsets_of(lengths: NDArray[Any]) -> Int64:
    """Where each stretch begins in their concatenation, and its end: one more than there are stretches."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def running(values: NDArray[Any]) -> Int64:
    """Sums from the beginning: the sum of `values[a:b]` is `sums[b] - sums[a]`."""
    return offsets_of(values)
