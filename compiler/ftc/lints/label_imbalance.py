"""Closed sets of answers of which one is nearly always right, or one hardly occurs."""

from __future__ import annotations

from ftc.lints.base import LintResult, Said, percent
from ftc.lints.evidence import Evidence
from ftc.lints.kinds import excerpt

COMMON = 0.8
"""Share of one answer from which always giving it looks like a good model."""

RARE = 10
"""Training rows of an answer below which it can hardly be learned."""


def judge(evidence: Evidence) -> LintResult | None:
    """Looks at the answers of the training rows where they are few and each occurs more than once."""
    labels = evidence.labels
    if not labels:
        return None
    ranked = sorted(labels.items(), key=lambda pair: (-pair[1], pair[0]))
    total = sum(labels.values())
    common, most = ranked[0]
    rare, least = ranked[-1]
    if most < COMMON * total and least >= RARE:
        return None
    return LintResult(
        lint="label_imbalance",
        rows=most if most >= COMMON * total else least,
        looked_at=total,
        facts={
            "labels": len(ranked),
            "common": _named(common),
            "most": most,
            "share": percent(most / total),
            "rare": _named(rare),
            "least": least,
        },
    )


def _named(label: str) -> str:
    return excerpt(label.strip(), 0, len(label.strip()))


def describe(result: LintResult) -> Said:
    """The result in words."""
    most, least, share = int(result.figure("most")), int(result.figure("least")), result.word("share")
    common, rare = f"`{result.word('common')}`", f"`{result.word('rare')}`"
    if result.figure("labels") == 1:
        return Said(
            f"every training row has the same answer, {common}",
            ("select rows with other answers too",),
            ("the model can learn nothing but to give it",),
        )
    if most >= COMMON * result.looked_at:
        return Said(
            f"{share} of the training rows have the answer {common}",
            ("compare the accuracy with that figure, or balance the answers in the query",),
            (f"always answering {common} is right in {share}; the rarest answer is {rare}, {least:,} ×",),
        )
    rows = "one training row has" if least == 1 else f"only {least:,} training rows have"
    return Said(
        f"{rows} the answer {rare}",
        ("select more of them, or leave the answer out",),
        (f"the commonest of {int(result.figure('labels'))} answers is {common}, with {share} of the rows",),
    )
