"""How long the training rows are, as a histogram."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ftc.data.packing.sizes import Int32, Sizes

BINS = 40
WIDE = 8
"""Where the longest row is so many times the shortest, bins grow with the length."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Training rows by their tokens: bin i counts those of `edges[i]` up to, but not, `edges[i + 1]` tokens.

    Of all rows half have at most `median` tokens, and so on. Rows count once, however often a pass uses them.
    """

    edges: tuple[int, ...]
    counts: tuple[int, ...]
    median: int
    p90: int
    p99: int


def read_lengths(directory: Path) -> Lengths | None:
    """The histogram of a directory's compiled rows; None without rows. Raises OSError and ValueError."""
    return histogram(Sizes.read(directory).lengths)


def histogram(lengths: Int32, bins: int = BINS) -> Lengths | None:
    """Lengths in at most so many bins, of one width or, where they differ widely, of one ratio."""
    if not len(lengths):
        return None
    by_length = np.bincount(lengths)
    first, end = int(lengths.min()), int(lengths.max()) + 1
    if end > WIDE * max(first, 1):
        steps = np.round(np.geomspace(max(first, 1), end, bins + 1)).astype(np.int64)
        steps[0] = first
    else:
        steps = np.linspace(first, end, bins + 1).round().astype(np.int64)
    edges = np.unique(steps)
    counts = np.add.reduceat(by_length, edges[:-1])
    up_to = np.cumsum(by_length)
    median, p90, p99 = (int(np.searchsorted(up_to, part * up_to[-1])) for part in (0.5, 0.9, 0.99))
    return Lengths(tuple(edges.tolist()), tuple(counts.tolist()), median, p90, p99)
