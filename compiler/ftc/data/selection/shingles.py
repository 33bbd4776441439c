"""Texts as sets of numbers: a hash for every few words in a row, made of Arrow's bytes without a loop.

A word is a run of letters and digits; every character that is not ASCII counts as a letter, but for the
blocks of punctuation. A Chinese or Japanese character is a word of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ftc.data.selection.equal import Int64
from ftc.data.selection.hashes import Flags, UInt64

if TYPE_CHECKING:
    import pyarrow as pa

UInt8 = NDArray[np.uint8]

BASE = np.uint64(0x9E3779B97F4A7C15)
BACK = np.uint64(pow(int(BASE), -1, 1 << 64))
"""Odd, so that it has an inverse: the hash of a word is a difference of running sums."""

NO_WORD = np.uint64(0xD6E8FEB86659FD93)
"""Stands for the words that a text of fewer than a shingle lacks."""

LETTER = np.zeros(256, dtype=np.bool_)
LETTER[[*range(0x30, 0x3A), *range(0x41, 0x5B), *range(0x61, 0x7B)]] = True
LETTER[0x80:] = True


def shingles(texts: pa.Array, words: int) -> tuple[UInt64, Int64]:
    """The hashes of every `words` words in a row of each text, with repeats, and where each text's begin.

    `texts` is a string array in lower case. A text with fewer words has one hash, of all of them.
    """
    data, offsets = _bytes(texts)
    starts, ends = _words(data, offsets)
    hashes = _word_hashes(data, starts, ends)
    counts = np.diff(np.searchsorted(starts, offsets))
    padded, bounds = _padded(hashes, counts, words)
    mixed = np.zeros(max(len(padded) - words + 1, 0), dtype=np.uint64)
    for place in range(words):
        mixed = _mix(mixed * BASE + padded[place : place + len(mixed)])
    lengths = np.diff(bounds) - (words - 1)
    inside = np.ones(len(mixed), dtype=np.bool_)
    for last in range(1, words):
        crossing = bounds[1:-1] - last
        inside[crossing[crossing < len(inside)]] = False
    return mixed[inside], np.append(0, np.cumsum(lengths))


def _bytes(texts: pa.Array) -> tuple[UInt8, Int64]:
    """The UTF-8 bytes of a string array, and where each text begins and the last ends."""
    _, offsets, data = texts.buffers()
    numbers = np.frombuffer(offsets, dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1]
    places = numbers.astype(np.int64)
    everything = np.frombuffer(data or b"", dtype=np.uint8)
    return everything[places[0] : places[-1]], places - places[0]


def _words(data: UInt8, offsets: Int64) -> tuple[Int64, Int64]:
    """Where words begin and end."""
    letter, begins = _letters(data)
    inner = offsets[1:-1][offsets[1:-1] < len(data)]
    begins[inner] = True
    before = np.zeros_like(letter)
    before[1:] = letter[:-1]
    starts = letter & (begins | ~before)
    ends = before & (begins | ~letter)
    last = [len(data)] if len(data) and letter[-1] else []
    return np.flatnonzero(starts), np.append(np.flatnonzero(ends), last).astype(np.int64)


def _letters(data: UInt8) -> tuple[Flags, Flags]:
    """Which bytes belong to words, and before which a word ends in any case."""
    letter, begins = LETTER[data], np.zeros(len(data), dtype=np.bool_)
    if not len(data) or int(data.max()) < 0x80:
        return letter, begins
    second, third = np.append(data[1:], np.uint8(0)), np.append(data[2:], [np.uint8(0)] * 2)[: len(data)]
    wide = (third < 0x90) | ((third >= 0x9A) & (third <= 0xA0))
    punctuation = (
        (data == 0xE2) | ((data == 0xE3) & (second == 0x80)) | ((data == 0xEF) & (second == 0xBC) & wide)
    )
    for place, length in ((np.flatnonzero(data == 0xC2), 2), (np.flatnonzero(punctuation), 3)):
        for offset in range(length):
            letter[np.minimum(place + offset, len(data) - 1)] = False
    single = np.flatnonzero((data >= 0xE3) & (data <= 0xE9) & letter)
    begins[single] = True
    begins[np.minimum(single + 3, len(data) - 1)] = True
    return letter, begins


def _word_hashes(data: UInt8, starts: Int64, ends: Int64) -> UInt64:
    """A hash of each word's bytes, wherever it stands."""
    forward, back = _powers(BASE, len(data)), _powers(BACK, len(data))
    running = np.zeros(len(data) + 1, dtype=np.uint64)
    np.cumsum((data.astype(np.uint64) + np.uint64(1)) * back, out=running[1:])
    return _mix((running[ends] - running[starts]) * forward[starts])


def _powers(base: np.uint64, count: int) -> UInt64:
    powers = np.full(count, base, dtype=np.uint64)
    powers[:1] = 1
    return np.cumprod(powers, dtype=np.uint64)


def _padded(hashes: UInt64, counts: Int64, words: int) -> tuple[UInt64, Int64]:
    """The words' hashes with every text filled up to one shingle, and where each text's begin."""
    bounds = np.append(0, np.cumsum(np.maximum(counts, words)))
    if len(counts) and int(counts.min()) >= words:
        return hashes, bounds
    padded = np.full(int(bounds[-1]), NO_WORD, dtype=np.uint64)
    within = np.arange(len(hashes)) - np.repeat(np.cumsum(counts) - counts, counts)
    padded[np.repeat(bounds[:-1], counts) + within] = hashes
    return padded, bounds


def _mix(values: UInt64) -> UInt64:
    """SplitMix64's finaliser: every bit of the result depends on every bit of the value."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
