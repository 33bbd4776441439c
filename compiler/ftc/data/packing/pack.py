"""Rows of known lengths are laid into sequences of one capacity, as few as can be.

Best-fit decreasing over the whole set (each row, the longest first, goes where the least room is left),
on the histogram of lengths: rows of one length are placed together, so a million take a tenth of a second.
Where that is short of the lower bound on the number of sequences, they are laid out a second time by
filling one sequence after the other with pairs that leave no room, and the better of both is kept.
Rows of a quarter to half of the capacity defeat both: which go by three must be decided before. There, rows
above some length are laid out apart from the others, if that is better; the length is tried on a part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ftc.data.packing.residuals import NumberSet
from ftc.data.ragged import Int64, offsets_of

Int32 = NDArray[np.int32]

WORTH_A_SECOND = 0.0005
"""Part of the sequences by which best-fit decreasing must be above the bound for a second way to be tried."""

MOST_FOR_PAIRS = 16_384
"""Capacity up to which pairs are looked for: the search works on whole bit sets of the lengths."""

PAIR_SUMS = 8
"""Sums below the room that is left which a pair is looked for."""


WORTH_APART = 0.01
"""Part of the sequences by which they must be above the bound for the long rows to be laid out apart."""

LENGTHS_APART = 17
"""Lengths above which rows may be laid out apart, between a quarter and half of the capacity."""

ROWS_TRIED = 4096
"""Rows of like lengths by which such a length is chosen."""


@dataclass(frozen=True, slots=True)
class Packs:
    """Which rows each sequence holds: sequence i has `rows[offsets[i]:offsets[i + 1]]`.

    Rows rise within a sequence, and sequences are in the order of their first rows. `tokens` counts those
    of all rows; `longest` is that of the fullest sequence.
    """

    rows: Int32
    offsets: Int64
    capacity: int
    tokens: int
    longest: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def utilisation(self) -> float:
        """Part of the sequences' room that tokens take."""
        return self.tokens / (len(self) * self.capacity)


def pack(lengths: Int32, capacity: int) -> Packs:
    """Lay each row into one sequence of at most `capacity` tokens; the same lengths give the same layout.

    Raises ValueError for a row of no token, or of more than the capacity.
    """
    if len(lengths) and not 0 < int(lengths.min()) <= int(lengths.max()) <= capacity:
        raise ValueError(f"lengths must be from 1 to {capacity}")
    order, counts = _by_length(lengths, capacity)
    sequence_of = _together(counts, capacity)
    if _count(sequence_of) > least_sequences(counts, capacity) * (1 + WORTH_APART):
        sequence_of = min(sequence_of, _apart(counts, capacity), key=_count)
    of_row = np.empty(len(lengths), dtype=np.int32)
    of_row[order] = sequence_of
    return _packs(of_row, lengths, capacity)


def _count(sequence_of: Int32) -> int:
    return int(sequence_of.max()) + 1 if len(sequence_of) else 0


def _together(counts: Int64, capacity: int) -> Int32:
    """The sequence of each row, the rows being in falling order of length; by the better of two ways."""
    sequence_of = _best_fit(counts, capacity)
    least = least_sequences(counts, capacity)
    if _count(sequence_of) > least * (1 + WORTH_A_SECOND) and capacity <= MOST_FOR_PAIRS:
        return min(sequence_of, _pair_fill(counts, capacity), key=_count)
    return sequence_of


def _apart(counts: Int64, capacity: int) -> Int32:
    """The same with the rows above some length in sequences of their own."""
    rows = np.floor(np.cumsum(counts) * min(1, ROWS_TRIED / counts.sum())).astype(np.int64)
    part = np.diff(rows, prepend=0)

    def needed(length: int) -> int:
        return sum(_count(_together(some, capacity)) for some in _cut(part, length))

    lengths = np.linspace(capacity // 4, capacity // 2, LENGTHS_APART).astype(np.int64)
    long, short = (_together(some, capacity) for some in _cut(counts, min(lengths.tolist(), key=needed)))
    return np.concatenate([long, short + _count(long)])


def _cut(counts: Int64, length: int) -> tuple[Int64, Int64]:
    """The rows above a length, and the others."""
    above = counts.copy()
    above[: length + 1] = 0
    return above, counts - above


def _by_length(lengths: Int32, capacity: int) -> tuple[Int64, Int64]:
    """Row numbers, the longest row first and equal ones by number; and how many rows have each length."""
    narrow = np.uint16 if capacity < 1 << 16 else np.uint32
    order = np.argsort((capacity - lengths).astype(narrow), kind="stable")
    return order, np.bincount(lengths, minlength=capacity + 1)


def least_sequences(counts: Int64, capacity: int) -> int:
    """A lower bound on the sequences for `counts[n]` rows of n tokens each.

    Bound L2 of Martello and Toth (1990): with rows above `capacity - a` alone in their sequences, what the
    rows from a to capacity/2 do not find beside those above capacity/2 needs sequences of its own; the best
    over all a. At a = 0 it is the tokens over the capacity.
    """
    half = capacity // 2
    rows, tokens = running_counts(counts)
    small = np.arange(half + 1)
    alone = rows[capacity] - rows[capacity - small]
    beside = rows[capacity - small] - rows[half]
    room = beside * capacity - (tokens[capacity - small] - tokens[half])
    below = np.where(small > 0, tokens[np.maximum(small - 1, 0)], 0)
    more = np.maximum(-((room - (tokens[half] - below)) // capacity), 0)
    return int((alone + beside + more).max())


def running_counts(counts: Int64) -> tuple[Int64, Int64]:
    """Rows of at most n tokens, and their tokens, for each n."""
    return np.cumsum(counts), np.cumsum(counts * np.arange(len(counts)))


class _Open:
    """Sequences with room, by how many tokens still fit."""

    def __init__(self, capacity: int) -> None:
        self._rooms = NumberSet(capacity)
        self._of: dict[int, list[Int32]] = {}

    def put(self, room: int, sequences: Int32) -> None:
        """Add sequences in which `room` tokens fit; those without room are done."""
        if room and len(sequences):
            if room not in self._of:
                self._rooms.add(room)
            self._of.setdefault(room, []).append(sequences)

    def take(self, length: int) -> tuple[int, Int32] | None:
        """All sequences of the least room in which a row fits, and that room."""
        room = self._rooms.at_least(length)
        if room is None:
            return None
        self._rooms.remove(room)
        found = self._of.pop(room)
        return room, found[0] if len(found) == 1 else np.concatenate(found)


def _best_fit(counts: Int64, capacity: int) -> Int32:
    """The sequence of each row, the rows being in falling order of length."""
    sequence_of = np.empty(int(counts.sum()), dtype=np.int32)
    opened, number, at = _Open(capacity), 0, 0
    for length in np.flatnonzero(counts)[::-1].tolist():
        end = at + int(counts[length])
        while at < end:
            taken = opened.take(length)
            if taken is None:
                new = -((at - end) // (capacity // length))
                taken = capacity, np.arange(number, number + new, dtype=np.int32)
                number += new
            at = _place(sequence_of[:end], at, length, *taken, opened)
    return sequence_of


def _place(sequence_of: Int32, at: int, length: int, room: int, sequences: Int32, opened: _Open) -> int:
    """Put rows of one length from `at` on into sequences of equal room, and return the row that is next.

    A sequence takes rows until none fits: after each it is the one of least room again.
    """
    each, left = room // length, len(sequence_of) - at
    full = min(len(sequences), left // each)
    end = at + full * each
    sequence_of[at:end] = np.repeat(sequences[:full], each)
    opened.put(room - each * length, sequences[:full])
    some = left - full * each if full < len(sequences) else 0
    if some:
        sequence_of[end:] = sequences[full]
        opened.put(room - some * length, sequences[full : full + 1])
    opened.put(room, sequences[full + (some > 0) :])
    return end + some


class _Lengths:
    """The rows that are left, by length, as bit sets that find a pair of a wanted sum by one AND."""

    def __init__(self, counts: Int64, capacity: int) -> None:
        self.left: list[int] = counts.tolist()
        self._capacity = capacity
        self._there = self._mirrored = 0
        for length in np.flatnonzero(counts).tolist():
            self._turn(length)

    def _turn(self, length: int) -> None:
        """Note that a length has its first row, or no row any more."""
        self._there ^= 1 << length
        self._mirrored ^= 1 << (self._capacity - length)

    def take(self, length: int, rows: int = 1) -> None:
        """Take rows of a length out."""
        self.left[length] -= rows
        if rows and not self.left[length]:
            self._turn(length)

    @property
    def longest(self) -> int:
        """The greatest length of which there is a row; 0 where no row is left."""
        return max(self._there.bit_length() - 1, 0)

    def filling(self, room: int) -> int:
        """The longest row with which, alone or with another one, the room is filled best; 0 if none fits."""
        fitting = self._there & ((2 << room) - 1)
        longest = fitting.bit_length() - 1
        for total in range(room, max(longest, room - PAIR_SUMS), -1):
            # Bit n of both: there are rows of n and of total - n.
            pairs = fitting & (self._mirrored >> (self._capacity - total))
            first = pairs.bit_length() - 1
            if first > 0 and (2 * first != total or self.left[first] > 1):
                return first
        return max(longest, 0)


def _pair_fill(counts: Int64, capacity: int) -> Int32:
    """The sequence of each row, filled one by one: the longest row, then what fills the rest best."""
    lengths, number = _Lengths(counts, capacity), 0
    next_row = offsets_of(counts[::-1])[::-1][1:].tolist()
    sequence_of = np.empty(int(counts.sum()), dtype=np.int32)
    while longest := lengths.longest:
        pattern = _pattern(lengths, longest, capacity)
        more = min(lengths.left[length] // rows for length, rows in pattern.items())
        sequences = np.arange(number, number + more + 1, dtype=np.int32)
        for length, rows in pattern.items():
            lengths.take(length, rows * more)
            at = next_row[length]
            next_row[length] = end = at + rows * len(sequences)
            sequence_of[at:end] = np.repeat(sequences, rows)
        number += more + 1
    return sequence_of


def _pattern(lengths: _Lengths, longest: int, capacity: int) -> dict[int, int]:
    """The lengths that make one full sequence, with how many rows of each; they are taken out."""
    pattern: dict[int, int] = {}
    room, length = capacity, longest
    while length:
        lengths.take(length)
        pattern[length] = pattern.get(length, 0) + 1
        room -= length
        length = lengths.filling(room) if room else 0
    return pattern


def _packs(of_row: Int32, lengths: Int32, capacity: int) -> Packs:
    """The sequences numbered by their first rows."""
    count = _count(of_row)
    first = np.empty(count, dtype=np.int64)
    first[of_row[::-1]] = np.arange(len(of_row))[::-1]
    begins = np.zeros(len(of_row), dtype=np.int32)
    begins[first] = 1
    number = (np.cumsum(begins) - 1)[first].astype(np.int32)
    sequence_of = number[of_row]
    tokens = np.bincount(sequence_of, weights=lengths, minlength=count)
    return Packs(
        rows=np.argsort(sequence_of, kind="stable").astype(np.int32),
        offsets=offsets_of(np.bincount(sequence_of, minlength=count)),
        capacity=capacity,
        tokens=int(tokens.sum()),
        longest=int(tokens.max(initial=0)),
    )
