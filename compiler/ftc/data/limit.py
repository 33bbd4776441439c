"""Rows that are too long, or in which nothing carries loss: refused, or cut by the plan's limits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ftc.data.batch import NO_PROMPT, Int64, UInt8
from ftc.data.example import Refusal
from ftc.data.ragged import gather, offsets_of, running
from ftc.data.tokenise import Tokens
from ftc.plan.steps import LimitStep

UNLIKE = Refusal(
    "unproved",
    "FTC312",
    "inference would encode its prompt to other tokens: an answer's first characters join the text before it",
)


@dataclass(frozen=True, slots=True)
class Limited:
    """What is left of rows under the limits, and what became of the others.

    Row i of `tokens` comes of row `rows[i]`; `answers` counts its tokens from the prompt to the last one
    that carries loss.
    `refusals` and `cut` (the tokens of a row before it was cut) are by the number of the row.
    """

    tokens: Tokens
    rows: Int64
    answers: Int64
    refusals: dict[int, Refusal]
    cut: dict[int, int]


def limited(rows: Tokens, limits: LimitStep) -> Limited:
    """Rows of at most the limit's tokens, each with a token that carries loss."""
    most, lengths = limits.max_length, np.diff(rows.offsets)
    trained = running(rows.mask)
    begins, ends = rows.offsets[:-1], rows.offsets[1:]
    refusals = dict.fromkeys(rows.unlike, UNLIKE)
    for row in np.flatnonzero(trained[ends] == trained[begins]).tolist():
        refusals[row] = Refusal("untrained", "FTC606", "no token of the row carries loss")
    cut = {row: int(lengths[row]) for row in np.flatnonzero(lengths > most).tolist() if row not in refusals}
    if limits.too_long == "truncate":
        ends = np.minimum(ends, begins + most)
    for row, length in list(cut.items()):
        refusal = _too_long(length, limits, nothing_left=bool(trained[ends[row]] == trained[begins[row]]))
        if refusal is not None:
            refusals[row] = refusal
            del cut[row]
    kept = np.array([row for row in range(len(lengths)) if row not in refusals], dtype=np.int64)
    return _kept(rows, kept, (ends - begins)[kept], refusals, cut)


def _too_long(length: int, limits: LimitStep, *, nothing_left: bool) -> Refusal | None:
    most = limits.max_length
    if limits.too_long != "truncate":
        return Refusal("too_long", "FTC603", f"{length} tokens, and the limit is {most}")
    if nothing_left:
        reason = f"cut to {most} of its {length} tokens, nothing in it carries loss"
        return Refusal("untrained", "FTC603", reason)
    return None


def _last_trained(mask: UInt8, ends: Int64) -> Int64:
    """Where the last token that carries loss ends, before each of some places."""
    places = np.flatnonzero(mask)
    found: Int64 = places[np.searchsorted(places, ends) - 1] + 1 if len(places) else ends
    return found


def _kept(
    rows: Tokens, kept: Int64, lengths: Int64, refusals: dict[int, Refusal], cut: dict[int, int]
) -> Limited:
    begins = rows.offsets[:-1][kept]
    prompts = np.minimum(rows.prompts[kept], lengths).astype(np.int32)
    answers = _last_trained(rows.mask, begins + lengths) - begins - prompts
    answers[prompts == NO_PROMPT] = 0
    answers = np.maximum(answers, 0)
    if refusals or cut:
        rows = Tokens(
            tokens=gather(rows.tokens, begins, lengths),
            mask=gather(rows.mask, begins, lengths),
            offsets=offsets_of(lengths),
            prompts=prompts,
        )
    return Limited(rows, kept, answers, refusals, cut)
