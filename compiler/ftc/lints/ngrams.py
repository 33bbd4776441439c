"""N-grams of tokens, as hashes, over many rows at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ftc.lints.evidence import Int32, Int64, UInt32, UInt64

N = 5
"""Tokens of an n-gram, which are three or four words."""

BITS, QUICK_BITS = 40, 26
"""Bits of a hash, and those of them, the upper ones, that `quick` has too."""

_FACTORS = tuple(map(np.uint32, (0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35)))
_FACTOR, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)


class Grams(NamedTuple):
    """The distinct n-grams of rows: 40 bits of each, and the number of its row; sorted by both."""

    rows: Int64
    hashes: UInt64


def quick(tokens: Int32) -> UInt32:
    """32 bits of the n-gram that begins at each token, as far as there are N tokens.

    They are linear in the tokens: the upper bits tell n-grams apart, the lower ones less so.
    """
    if len(tokens) < N:
        return np.zeros(0, dtype=np.uint32)
    words = tokens.view(np.uint32)
    two = words[:-1] * _FACTORS[0]
    two += words[1:]
    four = two[:-2] * _FACTORS[1]
    four += two[2:]
    five = four[:-1] * _FACTORS[2]
    five += words[4:]
    return five


def hashes(tokens: Int32) -> UInt64:
    """40 bits of the n-gram that begins at each token, as far as there are N tokens."""
    count = max(len(tokens) - N + 1, 0)
    return _hashes([tokens[shift : shift + count] for shift in range(N)])


def hashes_at(tokens: Int32, places: Int64) -> UInt64:
    """40 bits of the n-grams that begin at some of the tokens."""
    return _hashes([tokens[places + shift] for shift in range(N)])


def _hashes(tokens: Sequence[Int32]) -> UInt64:
    """The upper bits of `quick`, and others: of n-grams as their first tokens, their second and so on."""
    words = [some.view(np.uint32) for some in tokens]
    first, second = (words[at] * _FACTORS[0] + words[at + 1] for at in (0, 2))
    upper = (first * _FACTORS[1] + second) * _FACTORS[2] + words[4]
    mixed = np.zeros(len(words[0]), dtype=np.uint64)
    for word in words:
        mixed = mixed * _FACTOR + word
    mixed = (mixed ^ (mixed >> np.uint64(29))) * _MIX
    rest = BITS - QUICK_BITS
    found: UInt64 = (upper >> np.uint32(32 - QUICK_BITS)).astype(np.uint64) << np.uint64(rest)
    return found | (mixed >> np.uint64(64 - rest))


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
