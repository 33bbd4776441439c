"""Find, for each of some prompts, a training row that has most of its n-grams: all pairs are considered.

A row that has a given share of a prompt's n-grams must have some of any choice of them that leaves out fewer
than that share allows (prefix filtering: Chaudhuri, Ganti and Kaushik 2006; Bayardo, Ma and Srikant 2007).
So the rarest are looked up first, and only rows that have some of these are compared in full.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np

from ftc.lints.evidence import Int32, Int64, TokenRows, UInt64
from ftc.lints.ngrams import (
    BITS,
    QUICK_BITS,
    Grams,
    N,
    begins,
    counted,
    distinct,
    hashes,
    hashes_at,
    ordered,
    quick,
    share_of,
)

LEAST_GRAMS = 8
"""N-grams that a prompt must have beyond the template's; in shorter ones a word more is another question."""

MOST_GRAMS = 8 << 20
"""N-grams of all prompts that are compared. Where there are more, they are sampled by their hashes, which
tells a prompt's share to a few points."""

COMMON, COMMON_ROWS = 0.05, 3
"""An n-gram in more of the rows than this belongs to the template, or to the way of the data."""

ANCHORS = 4
"""N-grams among a prompt's rarest that a training row must have before all of them are compared."""

THREADS = min(os.cpu_count() or 1, 4)
"""Threads that look through tokens; numpy leaves others their turn."""

TOKENS = 1 << 20
"""Tokens that are looked through at a time."""

BLOCK = 1 << 14
"""Tokens whose n-grams are in the processor's cache at a time."""

_LOW, _SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)


Pairs = list[tuple[int, int]]
"""Rows of a chunk, each with a prompt."""


class Match(NamedTuple):
    """A training row, by its number on its side, and the share of the prompt's n-grams that it has."""

    row: int
    share: float


class _Prompts(NamedTuple):
    """The distinct n-grams of the prompts: those of prompt i are `hashes[starts[i]:starts[i + 1]]`.

    `frequency` tells in how many rows each is.
    """

    hashes: UInt64
    frequency: Int64
    starts: Int64

    def of(self, prompt: int) -> UInt64:
        return self.hashes[self.starts[prompt] : self.starts[prompt + 1]]


class _Chunk(NamedTuple):
    """Some training rows: the number of the first, all tokens, where each row begins."""

    first: int
    tokens: Int32
    offsets: Int64

    def of(self, row: int) -> UInt64:
        """The n-grams of a row."""
        return hashes(self.tokens[self.offsets[row] : self.offsets[row + 1]])

    def rows(self, places: Int64) -> tuple[Int64, Int64]:
        """Those of some places at which an n-gram of one row begins, and the rows."""
        rows = np.searchsorted(self.offsets, places, side="right") - 1
        inside = places + N <= self.offsets[rows + 1]
        return places[inside], rows[inside]


class _Anchors:
    """The rarest n-grams of each prompt, looked up by a table of bits before they are searched for."""

    def __init__(self, prompts: _Prompts, share: float) -> None:
        sizes = np.diff(prompts.starts)
        least = np.ceil(share * sizes).astype(np.int64)
        self._needed = np.minimum(ANCHORS, least)
        rows = np.repeat(np.arange(len(sizes)), sizes)
        order = np.lexsort((prompts.frequency, rows))
        rank = np.arange(len(rows)) - prompts.starts[:-1][rows]
        chosen = order[rank < (sizes - least + self._needed)[rows]]
        by_hash = chosen[np.argsort(prompts.hashes[chosen], kind="stable")]
        self._prompts = rows[by_hash]
        self._values, counts = counted(prompts.hashes[by_hash])
        self._starts = np.concatenate([[0], np.cumsum(counts)])
        bits = min(QUICK_BITS, max(16, (64 * len(self._values)).bit_length()))
        table = np.zeros(1 << bits, dtype=bool)
        table[(self._values >> np.uint64(BITS - bits)).astype(np.int64)] = True
        self._table, self._shift = np.packbits(table, bitorder="little"), np.uint32(32 - bits)

    def candidates(self, chunk: _Chunk) -> Iterator[tuple[int, int]]:
        """Rows of a chunk and prompts that have enough anchors in common."""
        may = self._may(chunk.tokens)
        values = hashes_at(chunk.tokens, may)
        order = np.argsort(values)
        may, values = may[order], values[order]
        at = np.minimum(np.searchsorted(self._values, values), len(self._values) - 1)
        true = self._values[at] == values
        places, rows = chunk.rows(may[true])
        anchors = at[true][np.isin(may[true], places, assume_unique=True)]
        once = ordered((rows.astype(np.uint64) << _SHIFT) | anchors.astype(np.uint64))
        pairs, common = counted(self._pairs(once))
        prompts = (pairs & _LOW).astype(np.int64)
        for pair in pairs[common >= self._needed[prompts]].tolist():
            yield pair >> 32, pair & 0xFFFFFFFF

    def _may(self, tokens: Int32) -> Int64:
        """Where n-grams begin of which the table has the upper bits."""
        found = [np.zeros(0, dtype=np.int64)]
        for start in range(0, len(tokens), BLOCK):
            index = quick(tokens[start : start + BLOCK + N - 1])
            index >>= self._shift
            low = (index & 7).astype(np.uint8)
            index >>= 3
            bits = (self._table.take(index, mode="clip") >> low) & 1
            found.append(np.flatnonzero(bits.view(bool)) + start)
        return np.concatenate(found)

    def _pairs(self, once: UInt64) -> UInt64:
        """Each row with each prompt of which it has an anchor, as one number, once for each anchor."""
        anchors = (once & _LOW).astype(np.int64)
        counts = self._starts[anchors + 1] - self._starts[anchors]
        shifts = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        prompts = self._prompts[np.repeat(self._starts[anchors], counts) + shifts]
        found: UInt64 = (np.repeat(once >> _SHIFT, counts) << _SHIFT) | prompts.astype(np.uint64)
        return found


def prompt_grams(batches: Iterable[TokenRows], number: Int64, total: int) -> tuple[Grams, bool]:
    """The n-grams of rows' prompts, and whether they are a sample.

    `number` renumbers the rows, those below 0 are left out; `total` is how many tokens the others have.
    """
    parts, first = [], 0
    for batch in batches:
        lengths = np.diff(batch.offsets)
        ends = batch.offsets[:-1] + np.where(batch.prompts < 0, lengths, batch.prompts)
        at, rows = begins(batch.offsets, ends)
        mine = number[first + rows]
        found = hashes(batch.tokens)[at]
        keep = (mine >= 0) & _sampled(found, MOST_GRAMS / max(total, 1))
        parts.append(distinct(mine[keep], found[keep]))
        first += len(lengths)
    grams = Grams(
        np.concatenate([part.rows for part in parts]), np.concatenate([part.hashes for part in parts])
    )
    return grams, total > MOST_GRAMS


def _sampled(found: UInt64, share: float) -> np.ndarray[tuple[int], np.dtype[np.bool]]:
    if share >= 1:
        return np.ones(len(found), dtype=bool)
    return (found * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(44) < np.uint64(share * (1 << 20))


def _chunks(batches: Iterable[TokenRows]) -> Iterator[_Chunk]:
    first = 0
    for batch in batches:
        rows = len(batch.offsets) - 1
        steps = np.arange(0, int(batch.offsets[-1]) + TOKENS, TOKENS)
        cuts = sorted(set(np.minimum(np.searchsorted(batch.offsets, steps), rows).tolist()))
        for start, stop in pairwise(cuts):
            offsets = batch.offsets[start : stop + 1]
            yield _Chunk(first + start, batch.tokens[offsets[0] : offsets[-1]], offsets - offsets[0])
        first += rows


def _uncommon(grams: Grams, prompts: int, chunk: _Chunk) -> _Prompts:
    """The n-grams that are in few rows of the prompts and of a first part of the training rows.

    Prompts that have too few of them have none.
    """
    order = np.argsort(grams.hashes)
    values, counts = counted(grams.hashes)
    at, rows = begins(chunk.offsets, chunk.offsets[1:])
    trained = np.sort(distinct(rows, hashes(chunk.tokens)[at]).hashes)
    ends = np.searchsorted(trained, values, side="right")
    frequency = np.empty(len(order), dtype=np.int64)
    frequency[order] = np.repeat(counts + ends - np.searchsorted(trained, values), counts)
    rare = frequency <= max(COMMON_ROWS, COMMON * (prompts + len(chunk.offsets) - 1))
    sizes = np.bincount(grams.rows[rare], minlength=prompts)
    kept = rare & (sizes >= LEAST_GRAMS)[grams.rows]
    sizes[sizes < LEAST_GRAMS] = 0
    return _Prompts(grams.hashes[kept], frequency[kept], np.concatenate([[0], np.cumsum(sizes)]))


def overlapping(grams: Grams, prompts: int, trained: Iterable[TokenRows], share: float) -> dict[int, Match]:
    """The first training row that has at least `share` of a prompt's n-grams, by the prompt's number."""
    chunks = _chunks(trained)
    first = next(chunks, None)
    if first is None:
        return {}
    known = _uncommon(grams, prompts, first)
    if not len(known.hashes):
        return {}
    found: dict[int, Match] = {}
    for chunk, pairs in _candidates(_Anchors(known, share), chain([first], chunks)):
        for row, prompt in pairs:
            has = share_of(known.of(prompt), chunk.of(row)) if prompt not in found else 0.0
            if has >= share:
                found[prompt] = Match(chunk.first + row, has)
    return found


def _candidates(
    anchors: _Anchors, chunks: Iterable[_Chunk]
) -> Iterator[tuple[_Chunk, list[tuple[int, int]]]]:
    """The candidates of each chunk, in order; several are looked through at once."""
    waiting: deque[tuple[_Chunk, Future[list[tuple[int, int]]]]] = deque()
    with ThreadPoolExecutor(THREADS) as threads:
        for chunk in chunks:
            waiting.append((chunk, threads.submit(lambda one: list(anchors.candidates(one)), chunk)))
            if len(waiting) > THREADS:
                one, pairs = waiting.popleft()
                yield one, pairs.result()
        for one, pairs in waiting:
            yield one, pairs.result()
