"""Prompts that have several different answers."""

from __future__ import annotations

import numpy as np

from ftc.lints.base import LintResult, Said
from ftc.lints.evidence import NO_ANSWER, Evidence, Int64, UInt32, together

SHARE = 0.01
"""Share of such rows from which they are worth a word where answers are free text, of which several can be
right; of a closed set of answers only one can."""


def judge(evidence: Evidence) -> LintResult | None:
    """Counts the rows whose prompt has another answer in another row, on either side of the split."""
    looked_at = rows = prompts = 0
    first: list[tuple[int, int | None]] = []
    for part in together(evidence.asked):
        numbers = part[evidence.answers[part] != NO_ANSWER]
        looked_at += len(numbers)
        if len(numbers):
            starts, sizes, numbers = _differing(evidence, numbers)
            rows, prompts = rows + int(sizes.sum()), prompts + len(sizes)
            first += _first(numbers, evidence.answers[numbers], starts, sizes)
    if not rows:
        return None
    closed = evidence.labels is not None
    return LintResult(
        lint="contradictory_answers",
        rows=rows,
        looked_at=looked_at,
        notable=closed or rows >= SHARE * looked_at,
        first=evidence.hits(sorted(first)),
        facts={"prompts": prompts, "closed": closed},
    )


def _differing(evidence: Evidence, numbers: Int64) -> tuple[Int64, Int64, Int64]:
    """Where prompts of several answers begin and how many rows they have, among the rows sorted by prompt."""
    numbers = numbers[np.argsort(evidence.asked[numbers], kind="stable")]
    asked, answers = evidence.asked[numbers], evidence.answers[numbers]
    starts = np.flatnonzero(np.concatenate([[True], asked[1:] != asked[:-1]]))
    differ = np.minimum.reduceat(answers, starts) != np.maximum.reduceat(answers, starts)
    return starts[differ], np.diff(np.append(starts, len(numbers)))[differ], numbers


def _first(numbers: Int64, answers: UInt32, starts: Int64, sizes: Int64) -> list[tuple[int, int | None]]:
    """The first row of each prompt, by its number, with the first row that answers otherwise."""
    found: list[tuple[int, int | None]] = []
    for at in np.argsort(numbers[starts])[:5].tolist():
        stretch = slice(int(starts[at]), int(starts[at] + sizes[at]))
        other = int(np.flatnonzero(answers[stretch] != answers[stretch][0])[0])
        found.append((int(numbers[stretch][0]), int(numbers[stretch][other])))
    return found


def describe(result: LintResult) -> Said:
    """The result in words."""
    prompts = int(result.figure("prompts"))
    what = "prompt has" if prompts == 1 else "prompts have"
    closed = bool(result.facts.get("closed"))
    note = (
        "the answers are a closed set, so all but one are wrong"
        if closed
        else "the model learns a mixture of them; where several answers are right, that is meant"
    )
    return Said(
        f"{prompts:,} {what} different answers, in {result.rows:,} rows",
        (
            "keep one answer in the query: qualify row_number() over (partition by prompt order by …) = 1",
            'or write contradictory_answers = "allow" in [lints]',
        ),
        (note,),
    )
