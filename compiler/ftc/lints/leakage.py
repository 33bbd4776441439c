"""Held-out rows whose prompt, as rendered, is trained on too."""

from __future__ import annotations

import numpy as np

from ftc.lints.base import LintResult, Said
from ftc.lints.evidence import EVAL, Evidence, Int64, UInt64, together


def shared(evidence: Evidence, column: UInt64) -> tuple[Int64, Int64]:
    """The held-out rows whose value a training row has too, and the first training row that has it."""
    rows, twins = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for part in together(column):
        held = evidence.sides[part] == EVAL
        trained, held_out = part[~held], part[held]
        if not len(trained) or not len(held_out):
            continue
        values, first = np.unique(column[trained], return_index=True)
        at = np.minimum(np.searchsorted(values, column[held_out]), len(values) - 1)
        both = values[at] == column[held_out]
        rows.append(held_out[both])
        twins.append(trained[first[at[both]]])
    found = np.concatenate(rows)
    order = np.argsort(found)
    return found[order], np.concatenate(twins)[order]


def judge(evidence: Evidence) -> LintResult | None:
    """Compares 64 bits of the prompt, or of the whole text where nothing is asked."""
    rows, twins = shared(evidence, evidence.asked)
    if not len(rows):
        return None
    return LintResult(
        lint="leakage",
        rows=len(rows),
        looked_at=len(evidence.side(EVAL)),
        first=evidence.hits(list(zip(rows.tolist(), twins.tolist(), strict=True))),
        facts={"document": bool((evidence.answers[rows] == 0).all())},
    )


def describe(result: LintResult) -> Said:
    """The result in words."""
    rows = "one held-out row has" if result.rows == 1 else f"{result.rows:,} held-out rows have"
    what = "text" if result.facts.get("document") else "prompt"
    return Said(
        f"{rows} a {what} that is trained on too",
        (
            f'leave repeated {what}s out: dedupe = "exact" in [data], or in the query',
            'or keep them on one side: split = { eval = …, group = "COLUMN" }',
        ),
        ("what the model does on them measures memory, not what it has learned",),
    )
