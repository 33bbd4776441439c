"""Rows that ask and answer the same as an earlier row on their side of the split."""

from __future__ import annotations

import numpy as np

from ftc.lints.base import FIRST, LintResult, Said, count, percent
from ftc.lints.evidence import EVAL, TRAIN, Evidence, Int64, UInt64, together

SHARE = 0.01
"""Share of repeated rows from which they are worth a word by themselves: one pass more over one in a
hundred changes nothing."""

_MIX = np.uint64(0x9E3779B97F4A7C15)


def pairs(evidence: Evidence, rows: Int64) -> UInt64:
    """64 bits of what is asked and answered in some rows."""
    return evidence.asked[rows] ^ (evidence.answers[rows].astype(np.uint64) * _MIX)


def repeated(values: UInt64) -> tuple[Int64, Int64]:
    """The numbers of values that stood there before, in order, and of where each stood first."""
    order = np.argsort(values, kind="stable")
    in_order = values[order]
    fresh = np.ones(len(values), dtype=bool)
    fresh[1:] = in_order[1:] != in_order[:-1]
    first = order[np.flatnonzero(fresh)[np.cumsum(fresh) - 1]] if len(order) else order
    later = np.flatnonzero(~fresh)
    numbers = order[later]
    by_number = np.argsort(numbers)
    return numbers[by_number], first[later][by_number]


def judge(evidence: Evidence) -> LintResult | None:
    """Counts each row but the first of those that are equal."""
    found: dict[int, list[tuple[int, int | None]]] = {TRAIN: [], EVAL: []}
    rows = 0
    for part in together(evidence.asked):
        for side, known in found.items():
            mine = part[evidence.sides[part] == side]
            later, first = repeated(pairs(evidence, mine))
            rows += len(later)
            new = zip(mine[later[:FIRST]].tolist(), mine[first[:FIRST]].tolist(), strict=True)
            found[side] = sorted([*known, *new])[:FIRST]
    if not rows:
        return None
    return LintResult(
        lint="duplicates",
        rows=rows,
        looked_at=evidence.rows,
        notable=rows >= max(2, SHARE * evidence.rows),
        first=evidence.hits([*found[TRAIN], *found[EVAL]]),
        facts={"share": percent(rows / evidence.rows)},
    )


def describe(result: LintResult) -> Said:
    """The result in words."""
    message = count(
        result.rows, "repeats an earlier row word for word", "repeat an earlier row word for word"
    )
    return Said(
        f"{message} ({result.word('share')})",
        ('write dedupe = "exact" in [data]', "or select distinct in the query"),
        (
            "what is trained on twice weighs twice",
            "dedupe compares rows as the query returns them, before `redact` makes more of them equal",
        ),
    )
