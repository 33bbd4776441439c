"""Rows that alone are compiled to estimate all: those with the smallest hashes of their ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ftc.data.selection.hashes import Flags, UInt64, smallest

Int64 = NDArray[np.int64]
FEWEST_HELD_OUT = 100
"""Held-out rows that are looked at where their part of the sample would be smaller, up to half of it."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """Rows of which some are looked at; `side` is theirs, or None where each row's own hash decides it."""

    side: Literal["train", "eval"] | None
    rows: int
    looked_at: int

    @property
    def factor(self) -> float:
        """How many rows each of those that are looked at stands for."""
        return self.rows / self.looked_at if self.looked_at else 0.0


def shared_out(most: int, train: int, held_out: int) -> tuple[int, int]:
    """How many rows of each side to look at: in proportion, but not too few held-out ones."""
    if most >= train + held_out:
        return train, held_out
    part = max(round(most * held_out / (train + held_out)), min(FEWEST_HELD_OUT, most // 2))
    part = max(min(part, held_out), most - train)
    return most - part, part


def looked_at(places: Sequence[Int64], hashes: UInt64, counts: Sequence[int]) -> Flags:
    """Which of all rows to look at: of each group of places so many, with the smallest hashes."""
    chosen = np.zeros(len(hashes), dtype=np.bool_)
    for group, count in zip(places, counts, strict=True):
        chosen[group[smallest(hashes[group], count)]] = True
    return chosen
