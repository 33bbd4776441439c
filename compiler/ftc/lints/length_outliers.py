"""Rows that are far longer than nearly all others."""

from __future__ import annotations

import numpy as np

from ftc.lints.base import LintResult, Said, count
from ftc.lints.evidence import Evidence

LEAST_ROWS = 100
"""Rows of which one can be far longer than nearly all others."""

TIMES, LEAST_TOKENS = 3, 256
"""How many times the 99th percentile a row must be long, and at least.

In real data, questions, manual pages and code have none of these; a file of short messages had eight, each
many messages in one for want of a closing quote; of 6,046 mails seven had attachments in them.
"""


def judge(evidence: Evidence) -> LintResult | None:
    """Looks at the tokens of all rows."""
    if evidence.rows < LEAST_ROWS:
        return None
    usual = int(np.percentile(evidence.tokens, 99, method="lower"))
    limit = max(TIMES * usual, LEAST_TOKENS)
    far = np.flatnonzero(evidence.tokens > limit)
    if not len(far):
        return None
    longest_first = far[np.argsort(-evidence.tokens[far], kind="stable")]
    return LintResult(
        lint="length_outliers",
        rows=len(far),
        looked_at=evidence.rows,
        first=evidence.hits([(row, None) for row in longest_first.tolist()]),
        facts={"limit": limit, "usual": usual, "longest": int(evidence.tokens.max())},
    )


def describe(result: LintResult) -> Said:
    """The result in words."""
    usual, longest = int(result.figure("usual")), int(result.figure("longest"))
    message = count(result.rows, "is far longer than the others", "are far longer than the others")
    return Said(
        f"{message}: up to {longest:,} tokens, where 99 % have at most {usual:,}",
        (
            f'write max_length = {usual} and too_long = "drop" in [data] to leave them out, counted',
            "or look at them first: several rows in one are often a quote that is not closed",
        ),
        ("the longest row decides how much memory the training needs",),
    )
