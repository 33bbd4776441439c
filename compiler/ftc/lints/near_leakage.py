"""Held-out rows whose prompt is nearly the same as something that is trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ftc.lints.base import Hit, LintResult, Said, percent
from ftc.lints.evidence import EVAL, TRAIN, Evidence, Int64, TokenRows, UInt64
from ftc.lints.leakage import shared
from ftc.lints.ngrams import Grams, begins, distinct, hashes

SHARE = 0.8
"""Share of a held-out prompt's n-grams that one training row must have too.

It is the share from which contamination studies call a sample contaminated (Llama 2's report, A.6, with
token n-grams; GPT-3's and others' near-duplicates have the same Jaccard similarity).
"""

LEAST_GRAMS = 8
"""N-grams that a prompt must have beyond the template's; in shorter ones a word more is another question."""

MOST_GRAMS = 8 << 20
"""N-grams of all held-out prompts that are compared. Where there are more, each prompt's are sampled by
their hashes, which tells its share to a few points."""

COMMON, COMMON_ROWS = 0.05, 3
"""An n-gram in more of the rows than this belongs to the template, or to the way of the data."""

ANCHORS = 4
"""N-grams among a prompt's rarest that a training row must have before all of them are compared."""

TOKENS = 1 << 20
"""Tokens that are compared at a time."""


@dataclass(frozen=True)
class _HeldOut:
    """The n-grams of the held-out prompts: those of prompt i are `hashes[starts[i]:starts[i + 1]]`.

    `frequency` tells in how many rows each is.
    """

    hashes: UInt64
    frequency: Int64
    starts: Int64

    def of(self, prompt: int) -> UInt64:
        return self.hashes[self.starts[prompt] : self.starts[prompt + 1]]


class _Anchors:
    """The rarest n-grams of each prompt, looked up by a table of bits before they are searched for."""

    def __init__(self, held_out: _HeldOut) -> None:
        sizes = np.diff(held_out.starts)
        least = np.ceil(SHARE * sizes).astype(np.int64)
        self.needed = np.minimum(ANCHORS, least)
        rows = np.repeat(np.arange(len(sizes)), sizes)
        order = np.lexsort((held_out.hashes, held_out.frequency, rows))
        rank = np.arange(len(rows)) - held_out.starts[:-1][rows]
        chosen = order[rank < (sizes - least + self.needed)[rows]]
        by_hash = chosen[np.argsort(held_out.hashes[chosen], kind="stable")]
        self._prompts = rows[by_hash]
        self._values, starts = np.unique(held_out.hashes[by_hash], return_index=True)
        self._starts = np.append(starts, len(by_hash))
        size = 1 << min(26, max(16, int(32 * len(self._values)).bit_length()))
        self._mask = np.uint64(size - 1)
        self._table = np.zeros(size, dtype=bool)
        self._table[self._values & self._mask] = True

    def pairs(self, found: UInt64, rows: Int64) -> Iterator[tuple[int, int]]:
        """Training rows and prompts that have enough anchors in common; `found` are the rows' n-grams."""
        may = np.flatnonzero(self._table[found & self._mask])
        at = np.minimum(np.searchsorted(self._values, found[may]), len(self._values) - 1)
        true = self._values[at] == found[may]
        once = np.unique((rows[may[true]].astype(np.uint64) << np.uint64(32)) | at[true].astype(np.uint64))
        anchors = (once & np.uint64(0xFFFFFFFF)).astype(np.int64)
        counts = self._starts[anchors + 1] - self._starts[anchors]
        shifts = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        prompts = self._prompts[np.repeat(self._starts[anchors], counts) + shifts].astype(np.uint64)
        keys = (np.repeat(once >> np.uint64(32), counts) << np.uint64(32)) | prompts
        pairs, common = np.unique(keys, return_counts=True)
        prompt = (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)
        enough = np.flatnonzero(common >= self.needed[prompt])
        for key in pairs[enough].tolist():
            yield key >> 32, key & 0xFFFFFFFF


def _prompt_grams(evidence: Evidence, wanted: Int64) -> tuple[Grams, bool]:
    """The n-grams of some held-out rows' prompts, whose rows are numbered as in `wanted`, and if sampled."""
    number = np.full(len(evidence.side(EVAL)), -1)
    number[evidence.places[wanted]] = np.arange(len(wanted))
    total = int(evidence.tokens[wanted].astype(np.int64).sum())
    parts, first = [], 0
    for batch in evidence.reader.token_rows(EVAL):
        lengths = np.diff(batch.offsets)
        ends = batch.offsets[:-1] + np.where(batch.prompts < 0, lengths, batch.prompts)
        at, rows = begins(batch.offsets, ends)
        mine = number[first + rows]
        keep = np.flatnonzero(mine >= 0)
        found = hashes(batch.tokens)[at[keep]]
        if total > MOST_GRAMS:
            sampled = _sampled(found, MOST_GRAMS / total)
            found, keep = found[sampled], keep[sampled]
        parts.append(distinct(mine[keep], found))
        first += len(lengths)
    grams = Grams(np.concatenate([p.rows for p in parts]), np.concatenate([p.hashes for p in parts]))
    return grams, total > MOST_GRAMS


def _sampled(found: UInt64, share: float) -> Int64:
    return np.flatnonzero(
        (found * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(44) < np.uint64(share * (1 << 20))
    )


def _chunks(batches: Iterator[TokenRows]) -> Iterator[tuple[int, UInt64, Int64]]:
    """The n-grams of rows, so many tokens at a time: the first row's number, the n-grams, their rows."""
    first = 0
    for batch in batches:
        lengths = np.diff(batch.offsets)
        steps = np.arange(0, int(batch.offsets[-1]) + TOKENS, TOKENS)
        cuts = np.unique(np.minimum(np.searchsorted(batch.offsets, steps), len(lengths)))
        for start, stop in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
            offsets = batch.offsets[start : stop + 1]
            at, rows = begins(offsets - offsets[0], offsets[1:] - offsets[0])
            yield first + start, hashes(batch.tokens[offsets[0] : offsets[-1]])[at], rows
        first += len(lengths)


def _without_common(grams: Grams, frequency: Int64, limit: float, prompts: int) -> _HeldOut:
    """The n-grams that are not common; prompts that have too few of them have none."""
    rare = frequency <= limit
    sizes = np.bincount(grams.rows[rare], minlength=prompts)
    kept = rare & (sizes >= LEAST_GRAMS)[grams.rows]
    sizes[sizes < LEAST_GRAMS] = 0
    return _HeldOut(grams.hashes[kept], frequency[kept], np.concatenate([[0], np.cumsum(sizes)]))


def _frequencies(grams: Grams, prompts: int, found: UInt64, rows: Int64) -> tuple[Int64, float]:
    """In how many rows of the prompts and of a first part of the training each n-gram is, and the limit."""
    values, inverse, counts = np.unique(grams.hashes, return_inverse=True, return_counts=True)
    if len(values):  # the prompts may all be shorter than an n-gram
        trained = distinct(rows, found).hashes
        at = np.minimum(np.searchsorted(values, trained), len(values) - 1)
        counts += np.bincount(at[values[at] == trained], minlength=len(values))
    return counts[inverse], max(COMMON_ROWS, COMMON * (prompts + len(np.unique(rows))))


def overlapping(evidence: Evidence, wanted: Int64) -> tuple[dict[int, tuple[int, float]], bool]:
    """The first training row that has most of a held-out row's prompt, and the share it has of it.

    Held-out rows without such a training row are missing. Also whether the n-grams were sampled.
    """
    grams, sampled = _prompt_grams(evidence, wanted)
    found: dict[int, tuple[int, float]] = {}
    trained = evidence.side(TRAIN)
    held_out: _HeldOut | None = None
    for first, gram, rows in _chunks(evidence.reader.token_rows(TRAIN)):
        if held_out is None:
            frequency, limit = _frequencies(grams, len(wanted), gram, rows)
            held_out = _without_common(grams, frequency, limit, len(wanted))
            anchors = _Anchors(held_out)
        starts = np.searchsorted(rows, np.arange(int(rows[-1]) + 2 if len(rows) else 1))
        for row, prompt in anchors.pairs(gram, rows):
            if prompt in found:
                continue
            mine = held_out.of(prompt)
            share = float(np.isin(mine, gram[starts[row] : starts[row + 1]]).mean())
            if share >= SHARE:
                found[prompt] = (int(trained[first + row]), share)
    return {int(wanted[prompt]): pair for prompt, pair in found.items()}, sampled


def judge(evidence: Evidence) -> LintResult | None:
    """Compares every held-out row that is not trained on word for word with all training rows."""
    held_out = evidence.side(EVAL)
    if not len(held_out) or len(held_out) == evidence.rows:
        return None
    exact, _ = shared(evidence, evidence.asked)
    loose, twins = shared(evidence, evidence.loose)
    alike = {row: (twin, 1.0) for row, twin in zip(loose.tolist(), twins.tolist(), strict=True)}
    alike = {row: pair for row, pair in alike.items() if row not in set(exact.tolist())}
    rest = np.setdiff1d(held_out, np.union1d(exact, loose))
    near, sampled = overlapping(evidence, rest) if len(rest) else ({}, False)
    rows = sorted((alike | near).items())
    if not rows:
        return None
    first = evidence.hits([(row, twin) for row, (twin, _) in rows])
    return LintResult(
        lint="near_leakage",
        rows=len(rows),
        looked_at=len(held_out),
        first=first,
        facts={
            "alike": len(alike),
            "overlapping": len(near),
            "sampled": sampled,
            "groups": list(_groups(evidence, first)),
        },
    )


def _groups(evidence: Evidence, first: tuple[Hit, ...]) -> Iterator[str]:
    """The groups of the first pairs, where rows are split by group."""
    groups = evidence.reader.groups([id_ for hit in first for id_ in (hit.id, hit.other)])
    for hit in first:
        mine, other = groups.get(hit.id), groups.get(hit.other)
        if mine is not None and other is not None and mine != other:
            yield f"{hit.id} is in the group {mine}, and {hit.other} in {other}"


def describe(result: LintResult) -> Said:
    """The result in words."""
    rows = "one held-out row is" if result.rows == 1 else f"{result.rows:,} held-out rows are"
    alike, overlap = int(result.figure("alike")), int(result.figure("overlapping"))
    notes = []
    if alike:
        notes.append(f"{alike:,} differ in case, blanks, quotes or end punctuation alone")
    if overlap:
        of = " (of a sample of them)" if result.facts.get("sampled") else ""
        notes.append(f"{overlap:,} have {percent(SHARE)} or more of their n-grams{of} in one training row")
    groups = result.facts.get("groups")
    notes += [str(line) for line in groups] if isinstance(groups, list) else []
    return Said(
        f"{rows} nearly the same as something that is trained on",
        (
            'write dedupe = "near" in [data]',
            'or keep what belongs together on one side: split = { eval = …, group = "COLUMN" }',
        ),
        tuple(notes),
    )
