"""Which rows are held out: by a hash of their keys, in proportion of a column's values, or as stated."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from ftc.data.selection.equal import Int64
from ftc.data.selection.hashes import Flags, UInt64, below
from ftc.data.selection.quotas import exact, shares
from ftc.plan.steps import SplitStep

SIDES = {
    "train": 0,
    "training": 0,
    "eval": 1,
    "evaluation": 1,
    "validation": 1,
    "valid": 1,
    "val": 1,
    "dev": 1,
    "test": 1,
}
"""The values of a column that says the side, without case, as sides."""


def by_hash(split: SplitStep, hashes: UInt64) -> Flags:
    """A fraction of the hashes, or the smallest that together have at least so many rows."""
    if split.fraction is not None:
        lower: Flags = hashes < below(split.fraction)
        return lower
    if not split.rows or not len(hashes):
        return np.zeros(len(hashes), dtype=np.bool_)
    place = min(split.rows, len(hashes)) - 1
    held: Flags = hashes <= np.partition(hashes, place)[place]
    return held


def stratified(split: SplitStep, hashes: UInt64, values: UInt64) -> Flags:
    """Of each value in proportion the rows with the smallest hashes; rows of one hash stay together.

    Rows with the same hash count for the value of the first of them. Of each value at least one such group
    is held out and one is not, so that a value with one group stays in training.
    """
    if not len(hashes):
        return np.zeros(0, dtype=np.bool_)
    _, first, group, sizes = np.unique(hashes, return_index=True, return_inverse=True, return_counts=True)
    _, stratum = np.unique(values[first], return_inverse=True)
    groups = np.bincount(stratum)
    rows = np.bincount(stratum, weights=sizes).astype(np.int64)
    wanted = _wanted(split, rows, groups)
    order = np.argsort(stratum, kind="stable")  # groups are in order of their hashes already
    before = _running(sizes[order], stratum[order])
    rank = _running(np.ones(len(order), dtype=np.int64), stratum[order])
    held = np.zeros(len(order), dtype=np.bool_)
    held[order] = (before < wanted[stratum[order]]) & (rank < groups[stratum[order]] - 1)
    chosen: Flags = held[group]
    return chosen


def _wanted(split: SplitStep, rows: Int64, groups: Int64) -> Int64:
    """How many rows of each value to hold out."""
    shared = [int(count) for count in np.where(groups > 1, rows, 0)]
    if split.fraction is not None:
        fraction = exact(split.fraction)
        nearest = [int(fraction * count + Fraction(1, 2)) for count in shared]
        return np.array(
            [min(max(k, 1), n - 1) if n else 0 for k, n in zip(nearest, shared, strict=True)], dtype=np.int64
        )
    total, everything = split.rows or 0, max(sum(shared), 1)
    ideal = [Fraction(total * count, everything) for count in shared]
    values = sum(count > 0 for count in shared)
    least = [int(count > 0 and total >= values) for count in shared]
    return np.array(shares(total, ideal, least, [max(n - 1, 0) for n in shared]), dtype=np.int64)


def _running(counts: Int64, stratum: Int64) -> Int64:
    """For each group how much of its value stands before it; groups of one value stand together."""
    before = np.cumsum(counts) - counts
    new = np.append(True, stratum[1:] != stratum[:-1])
    starts = np.flatnonzero(new)
    found: Int64 = before - np.repeat(before[starts], np.diff(np.append(starts, len(stratum))))
    return found
