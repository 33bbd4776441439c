"""How long the training rows are, as a histogram."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.facts.cache import Cache, cache_key, code_digest

if TYPE_CHECKING:
    from ftc.data.packing.sizes import Int32

KIND = "lengths"
CODE = ("data/packing/lengths.py", "data/packing/sizes.py")
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


def read_lengths(directory: Path, cache: Cache) -> Lengths | None:
    """The histogram of an entry of compiled rows, which is remembered; None without rows. Raises OSError."""
    key = cache_key(KIND, {"data": directory.name}, {}, code=code_digest(*CODE))
    kept = cache.recall(KIND, key)
    if kept is not None:
        found = json.loads(kept)
        return Lengths(**{**found, "edges": tuple(found["edges"]), "counts": tuple(found["counts"])})
    from ftc.data.packing.sizes import Sizes

    made = histogram(Sizes.read(directory).lengths)
    if made is not None:
        cache.remember(KIND, key, json.dumps(asdict(made)).encode())
    return made


def histogram(lengths: Int32, bins: int = BINS) -> Lengths | None:
    """Lengths in at most so many bins, of one width or, where they differ widely, of one ratio."""
    import numpy as np

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
