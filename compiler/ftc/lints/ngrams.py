"""N-grams of tokens, as hashes, over many rows at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ftc.lints.evidence import Int32, Int64, UInt64

N = 5
"""Tokens of an n-gram, which are three or four words."""

_FACTORS = tuple(map(np.uint64, (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xD6E8FEB86659FD93)))
_MIX, _BITS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(24)


class Grams(NamedTuple):
    """The distinct n-grams of rows: 40 bits of each, and the number of its row; sorted by both."""

    rows: Int64
    hashes: UInt64


def hashes(tokens: Int32) -> UInt64:
    """40 bits of the n-gram that begins at each token, as far as there are N tokens."""
    if len(tokens) < N:
        return np.zeros(0, dtype=np.uint64)
    wide = tokens.astype(np.uint64)
    two = wide[:-1] * _FACTORS[0]
    two += wide[1:]
    four = two[:-2] * _FACTORS[1]
    four += two[2:]
    five = four[:-1] * _FACTORS[2]
    five += wide[4:]
    five ^= five >> np.uint64(29)
    five *= _MIX
    five >>= _BITS
    return five


def begins(offsets: Int64, ends: Int64) -> tuple[Int64, Int64]:
    """Where n-grams begin that lie within one row, and the rows' numbers; row i ends at `ends[i]`."""
    counts = np.maximum(ends - offsets[:-1] - (N - 1), 0)
    rows = np.repeat(np.arange(len(counts)), counts)
    shifts = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    return offsets[:-1][rows] + shifts, rows


def ordered(values: UInt64) -> UInt64:
    """The distinct values, sorted: numpy's own `unique` is many times slower on hashes."""
    values = np.sort(values)
    fresh = np.ones(len(values), dtype=bool)
    fresh[1:] = values[1:] != values[:-1]
    return values[fresh]


def counted(values: UInt64) -> tuple[UInt64, Int64]:
    """The distinct values, sorted, and how often each occurs."""
    values = np.sort(values)
    first = (
        np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
        if len(values)
        else np.zeros(0, int)
    )
    return values[first], np.diff(np.append(first, len(values)))


def share_of(wanted: UInt64, found: UInt64) -> float:
    """Which part of some distinct n-grams is among others."""
    known = np.sort(found)
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return float((known[at] == wanted).mean())


def distinct(rows: Int64, found: UInt64) -> Grams:
    """The n-grams of rows without repetitions; there are fewer than 2^24 rows."""
    keys = ordered((rows.astype(np.uint64) << np.uint64(40)) | found)
    return Grams((keys >> np.uint64(40)).astype(np.int64), keys & np.uint64((1 << 40) - 1))
