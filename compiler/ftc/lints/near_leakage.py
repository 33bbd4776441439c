"""Held-out rows whose prompt is nearly the same as something that is trained on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ftc.lints.base import Hit, LintResult, Said, percent
from ftc.lints.evidence import EVAL, TRAIN, Evidence, Int64
from ftc.lints.leakage import shared
from ftc.lints.overlap import overlapping, prompt_grams

SHARE = 0.8
"""Share of a held-out prompt's n-grams that one training row must have too.

It is the share from which contamination studies call a sample contaminated (Llama 2's report, A.6, with
token n-grams; GPT-3's and others' near-duplicates have the same Jaccard similarity).
"""


def _overlapping(evidence: Evidence, wanted: Int64) -> tuple[dict[int, tuple[int, float]], bool]:
    """The training row that has most of a held-out row's prompt, and the share; whether it is a sample's."""
    held_out = evidence.side(EVAL)
    number = np.full(len(held_out), -1)
    number[np.searchsorted(held_out, wanted)] = np.arange(len(wanted))
    total = int(evidence.tokens[wanted].astype(np.int64).sum())
    grams, sampled = prompt_grams(evidence.reader.token_rows(EVAL), number, total)
    found = overlapping(grams, len(wanted), evidence.reader.token_rows(TRAIN), SHARE)
    rows = evidence.side(TRAIN) if found else held_out
    return {int(wanted[one]): (int(rows[match.row]), match.share) for one, match in found.items()}, sampled


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
    near, sampled = _overlapping(evidence, rest) if len(rest) else ({}, False)
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
    of = ", of which a sample is compared" if result.facts.get("sampled") else ""
    notes = [f"alike but for case, blanks, quotes and end punctuation: {alike:,}"] if alike else []
    if overlap:
        notes.append(f"with {percent(SHARE)} or more of their n-grams{of} in one training row: {overlap:,}")
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
