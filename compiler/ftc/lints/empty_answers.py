"""Answers that say nothing: empty, or blanks alone."""

from __future__ import annotations

from ftc.lints.base import LintResult, Said, count
from ftc.lints.evidence import Evidence
from ftc.lints.features import Look
from ftc.lints.row import Row, Sighting
from ftc.lints.spec import LintSpec


def looker(spec: LintSpec) -> Look:
    """Looks at every answer of a row, the earlier ones of a conversation too."""
    del spec
    return _look


def _look(row: Row) -> Sighting | None:
    for answer in row.answers:
        if not answer or answer.isspace():
            return Sighting(("",), row.asked, max(0, len(row.asked.rstrip()) - 60), len(row.asked.rstrip()))
    return None


def judge(evidence: Evidence) -> LintResult | None:
    """Every such row counts."""
    return evidence.result("empty_answers")


def describe(result: LintResult) -> Said:
    """The result in words."""
    message = count(result.rows, "has an empty answer", "have an empty answer")
    return Said(
        message,
        ("leave them out in the query: where trim(completion) <> ''",),
        ("the model learns to answer nothing",),
    )
