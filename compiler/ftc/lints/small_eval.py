"""Held-out rows too few for what is measured on them."""

from __future__ import annotations

from math import ceil, sqrt

from ftc.lints.base import LintResult, Said

Z = 1.959963984540054
"""Standard normal quantile of a two-sided interval of 95 %."""

WIDE = 0.05
"""Half of the interval's width from which a score says little: five points."""

SCORES = ("exact_match", "label_accuracy")
"""Metrics that are a share of right rows."""


def half_width(rows: int) -> float:
    """Half of the 95 % interval of a share of one half, the widest there is, over some rows.

    Wilson's score interval: z·sqrt(p(1-p)/n + z²/4n²) / (1 + z²/n), which is z / 2·sqrt(n + z²) at p = ½.
    """
    return Z / (2 * sqrt(rows + Z * Z))


def rows_needed(width: float) -> int:
    """Rows over which half of the interval is at most `width`."""
    return ceil((Z / (2 * width)) ** 2 - Z * Z)


def judge(rows: int, metrics: tuple[str, ...], *, by_hash: bool = True) -> LintResult | None:
    """Looks at what is measured on the held-out rows; `by_hash` says that the recipe gives their number."""
    scores = [metric for metric in SCORES if metric in metrics]
    if not scores or not rows or half_width(rows) <= WIDE:
        return None
    return LintResult(
        lint="small_eval",
        rows=rows,
        looked_at=rows,
        facts={
            "metric": scores[0],
            "points": round(100 * half_width(rows), 1),
            "needed": rows_needed(WIDE),
            "by_hash": by_hash,
        },
    )


def describe(result: LintResult) -> Said:
    """The result in words."""
    needed, points = int(result.figure("needed")), result.figure("points")
    rows = "one held-out row is" if result.rows == 1 else f"{result.rows:,} held-out rows are"
    typed = f": split = {{ eval = {needed} }}" if result.facts.get("by_hash") else ""
    metric = result.word("metric").replace("_", " ")
    return Said(
        f"{rows} few: {metric} is known to ± {points:g} points only",
        (
            f"hold out {needed:,} rows for ± {100 * WIDE:g} points{typed}",
            'where a rough figure is enough, write small_eval = "allow" in [lints]',
        ),
        ("95 % of the time the true score is that near (Wilson's interval, at its widest)",),
    )
