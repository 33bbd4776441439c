"""Rows that are too long, or in which nothing carries loss: refused, or cut by the plan's limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ftc.data.ragged import gather, offsets_of, running
from ftc.data.rendering.example import Refusal
from ftc.data.tokens.tokenise import Tokens
from ftc.data.work.batch import NO_PROMPT, Int64, UInt8
from ftc.plan.steps import LimitStep

UNLIKE = Refusal(
    "unproved",
    "FTC312",
    "inference would encode its prompt to other tokens: an answer's first characters join the text before it",
)
UNTRAINED = Refusal("untrained", "FTC606", "no token of the row carries loss")


@dataclass(frozen=True, slots=True)
class Limited:
    """What is left of rows under the limits, and what became of the others.

    Row i of `tokens` is part `parts[i]` (from 1; 0: all that is left) of row `rows[i]`; `answers` counts
    its tokens from the prompt to the last one that carries loss.
    `refusals` and `cut` (the tokens of a row before it was cut) are by the number of the row.
    """

    tokens: Tokens
    rows: Int64
    parts: Int64
    answers: Int64
    refusals: dict[int, Refusal]
    cut: dict[int, int]


def limited(rows: Tokens, limits: LimitStep, *, silent: bool = False) -> Limited:
    """Rows of at most the limit's tokens, each with a token that carries loss; the first never does.

    Where rows are `silent`, none needs to carry loss.

    A row that is split becomes as many rows as it needs, each but the last of the full length: for
    documents alone, whose parts need no prompt. A part in which nothing carries loss is left out.
    """
    most, lengths = limits.max_length, np.diff(rows.offsets)
    rows = _from_the_second(rows)
    trained = running(rows.mask)
    begins, ends = rows.offsets[:-1], rows.offsets[1:]
    refusals = dict.fromkeys(rows.unlike, UNLIKE)
    for row in np.flatnonzero(trained[ends] == trained[begins]).tolist() if not silent else ():
        refusals[row] = UNTRAINED
    cut = {row: int(lengths[row]) for row in np.flatnonzero(lengths > most).tolist() if row not in refusals}
    if limits.too_long == "truncate":
        ends = np.minimum(ends, begins + most)
    for row, length in list(cut.items()):
        nothing_left = bool(trained[ends[row]] == trained[begins[row]]) and not silent
        refusal = _too_long(length, limits, nothing_left=nothing_left)
        if refusal is not None:
            refusals[row] = refusal
            del cut[row]
    kept = np.array([row for row in range(len(lengths)) if row not in refusals], dtype=np.int64)
    lengths = (ends - begins)[kept]
    counts = -(-lengths // most) if limits.too_long == "split" else np.ones_like(lengths)
    parts = np.arange(counts.sum()) - np.repeat(offsets_of(counts)[:-1], counts)
    if refusals or cut:
        rows = _taken(rows, np.repeat(kept, counts), parts * most, np.repeat(lengths, counts), most)
    numbers, numbered = np.repeat(kept, counts), np.where(np.repeat(counts, counts) > 1, parts + 1, 0)
    if limits.too_long == "split" and cut:
        rows, numbers, numbered = _trainable(_from_the_second(rows), numbers, numbered)
        for row in cut.keys() - set(numbers.tolist()):
            refusals[row] = UNTRAINED
            del cut[row]
    return Limited(rows, numbers, numbered, _answers(rows), refusals, cut)


def whole(left: Limited, numbers: Sequence[int]) -> Limited:
    """What is left without the rows of which another part was refused; row i is a part of `numbers[i]`."""
    gone = {numbers[row] for row in left.refusals}
    kept = np.array([at for at, row in enumerate(left.rows.tolist()) if numbers[row] not in gone], np.int64)
    if len(kept) == len(left.rows):
        return left
    tokens = _some(left.tokens, kept)
    cut = {row: length for row, length in left.cut.items() if numbers[row] not in gone}
    return Limited(tokens, left.rows[kept], left.parts[kept], left.answers[kept], left.refusals, cut)


def together(left: Limited, members: int) -> tuple[Limited, Int64]:
    """Rows of so many members each as one row, end to end, and the tokens of each member.

    What inference is given is that of the first member; the answer counted is the longest.
    """
    tokens, first = left.tokens, slice(None, None, members)
    joined = Tokens(
        tokens=tokens.tokens,
        mask=tokens.mask,
        offsets=np.append(tokens.offsets[:-1][first], tokens.offsets[-1]),
        prompts=tokens.prompts[first],
    )
    answers = left.answers.reshape(-1, members).max(axis=1, initial=0)
    whole = Limited(joined, left.rows[first], left.parts[first], answers, left.refusals, left.cut)
    return whole, np.diff(tokens.offsets)


def _from_the_second(rows: Tokens) -> Tokens:
    """The rows with no loss on the first token of each: no token before it predicts it."""
    first = rows.offsets[:-1][np.diff(rows.offsets) > 0]
    if not rows.mask[first].any():
        return rows
    mask = rows.mask.copy()
    mask[first] = 0
    return replace(rows, mask=mask)


def _trainable(rows: Tokens, numbers: Int64, parts: Int64) -> tuple[Tokens, Int64, Int64]:
    """Without the parts in which nothing carries loss, such as a document's last token alone."""
    left = np.flatnonzero(np.diff(running(rows.mask)[rows.offsets]))
    if len(left) == len(numbers):
        return rows, numbers, parts
    return _some(rows, left), numbers[left], parts[left]


def _some(rows: Tokens, kept: Int64) -> Tokens:
    begins, lengths = rows.offsets[:-1][kept], np.diff(rows.offsets)[kept]
    return Tokens(
        tokens=gather(rows.tokens, begins, lengths),
        mask=gather(rows.mask, begins, lengths),
        offsets=offsets_of(lengths),
        prompts=rows.prompts[kept],
    )


def _too_long(length: int, limits: LimitStep, *, nothing_left: bool) -> Refusal | None:
    most = limits.max_length
    if limits.too_long not in ("truncate", "split"):
        return Refusal("too_long", "FTC603", f"{length} tokens, and the limit is {most}")
    if nothing_left:
        reason = f"cut to {most} of its {length} tokens, nothing in it carries loss"
        return Refusal("untrained", "FTC603", reason)
    return None


def _taken(rows: Tokens, kept: Int64, starts: Int64, lengths: Int64, most: int) -> Tokens:
    """At most so many tokens of some rows, from a place in each of them on."""
    begins, lengths = rows.offsets[:-1][kept] + starts, np.minimum(lengths - starts, most)
    return Tokens(
        tokens=gather(rows.tokens, begins, lengths),
        mask=gather(rows.mask, begins, lengths),
        offsets=offsets_of(lengths),
        prompts=np.minimum(rows.prompts[kept], lengths).astype(np.int32),
    )


def _last_trained(mask: UInt8, ends: Int64) -> Int64:
    """Where the last token that carries loss ends, before each of some places."""
    places = np.flatnonzero(mask)
    found: Int64 = places[np.searchsorted(places, ends) - 1] + 1 if len(places) else ends
    return found


def _answers(rows: Tokens) -> Int64:
    answers = _last_trained(rows.mask, rows.offsets[1:]) - rows.offsets[:-1] - rows.prompts
    answers[rows.prompts == NO_PROMPT] = 0
    found: Int64 = np.maximum(answers, 0)
    return found
