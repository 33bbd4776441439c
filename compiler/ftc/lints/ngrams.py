"""N-grams of tokens, as hashes, over many rows at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ftc.lints.evidence import Int32, Int64, UInt64

N = 5
"""Tokens of an n-gram, which are three or four words."""

_BITS = np.uint64(24)
_FACTORS = (
    0x9E3779B97F4A7C15,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0xD6E8FEB86659FD93,
    0xFF51AFD7ED558CCD,
)
_LAST = np.uint64(0xBF58476D1CE4E5B9)


class Grams(NamedTuple):
    """The distinct n-grams of rows: 40 bits of each, and the number of its row; sorted by both."""

    rows: Int64
    hashes: UInt64


def hashes(tokens: Int32) -> UInt64:
    """40 bits of the n-gram that begins at each token, as far as there are N tokens."""
    size = max(len(tokens) - N + 1, 0)
    wide = tokens.astype(np.uint64)
    found = np.zeros(size, dtype=np.uint64)
    for shift, factor in enumerate(_FACTORS):
        found += wide[shift : shift + size] * np.uint64(factor)
    found ^= found >> np.uint64(29)
    found *= _LAST
    return found >> _BITS


def begins(offsets: Int64, ends: Int64) -> tuple[Int64, Int64]:
    """Where n-grams begin that lie within one row, and the rows' numbers; row i ends at `ends[i]`."""
    counts = np.maximum(ends - offsets[:-1] - (N - 1), 0)
    rows = np.repeat(np.arange(len(counts)), counts)
    shifts = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    return offsets[:-1][rows] + shifts, rows


def distinct(rows: Int64, found: UInt64) -> Grams:
    """The n-grams of rows without repetitions; there are fewer than 2^24 rows."""
    keys = np.unique((rows.astype(np.uint64) << np.uint64(40)) | found)
    return Grams((keys >> np.uint64(40)).astype(np.int64), keys & np.uint64((1 << 40) - 1))
