"""Secrets: keys, tokens and passwords in the texts."""

from __future__ import annotations

from ftc.lints.base import LintResult, Said, count, listed
from ftc.lints.evidence import Evidence
from ftc.lints.features import Look
from ftc.lints.kinds import detect
from ftc.lints.row import Row, Sighting
from ftc.lints.secret_formats import HINTS
from ftc.lints.spec import LintSpec

KINDS = ("secret",)


def looker(spec: LintSpec) -> Look:
    """Looks for the published forms of keys and tokens; placeholders are no secrets."""
    del spec
    return _look


def hints(spec: LintSpec) -> tuple[str, ...]:
    """What is in every text with a secret."""
    del spec
    return HINTS


def _look(row: Row) -> Sighting | None:
    found = [match for _, match in detect(row.said, KINDS) if not match.public]
    if not found:
        return None
    kinds = tuple(dict.fromkeys(match.what for match in found))
    return Sighting(kinds, row.said.text, found[0].start, found[0].end)


def judge(evidence: Evidence) -> LintResult | None:
    """Every such row counts."""
    return evidence.result("secrets")


def describe(result: LintResult) -> Said:
    """The result in words."""
    return Said(
        count(result.rows, "has a secret in its text", "have secrets in their texts"),
        ('write redact = ["secret"] in [data] to have [SECRET] in their place', "revoke what is still valid"),
        (listed(result.counts("kinds")), "a model can repeat what it was trained on, word for word"),
    )
