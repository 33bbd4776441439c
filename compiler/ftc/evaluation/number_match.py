"""Number match: the last number in the answer is the reference's."""

from __future__ import annotations

import re
from decimal import Decimal

from ftc.evaluation.base import Answer, Metric, Options

NUMBER = re.compile(r"(?<![\w.])[-−+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?")


def numbers(text: str) -> list[Decimal]:
    """The numbers in a text, in English notation: `-1,234.5`, `6e23`; a unit or `%` behind them is left."""
    return [Decimal(found.replace(",", "").replace("−", "-")) for found in NUMBER.findall(text)]


def close(made: Decimal, wanted: Decimal, tolerance: float) -> bool:
    """Whether two numbers are the same, or as near as `tolerance`, a share of the wanted one."""
    return abs(made - wanted) <= abs(wanted) * Decimal(str(tolerance))


def score(answer: Answer, options: Options) -> float | None:
    """1 where the last number of the answer is the last one of a reference; None where those have none."""
    wanted = [numbers(one)[-1] for one in answer.references if numbers(one)]
    made = numbers(answer.answer)
    if not wanted:
        return None
    return float(bool(made) and any(close(made[-1], one, options.tolerance) for one in wanted))


METRIC = Metric("number_match", "the number is right", score=score)
