"""Regular expression: it is found in the answer."""

from __future__ import annotations

import re
from functools import lru_cache

from ftc.evaluation import checks
from ftc.evaluation.base import Answer, Metric, Options, ScoreError


@lru_cache(maxsize=4096)
def compiled(text: str) -> re.Pattern[str]:
    """A pattern, compiled once. Raises ScoreError where it is none."""
    wrong = checks.pattern(text)
    if wrong:
        raise ScoreError(wrong[0].message)
    return re.compile(text)


def score(answer: Answer, options: Options) -> float | None:
    """1 where `pattern` is found anywhere in the answer; None where neither suite nor row has one.

    Python's `re.search` over the answer without outer white space: `^` and `$` are its two ends.
    """
    own = options.of(answer).pattern
    return None if own is None else float(compiled(own).search(answer.answer.strip()) is not None)


def check(options: Options) -> checks.Findings:
    """A pattern that is missing or wrong."""
    if options.pattern is None:
        return () if "pattern" in options.columns else checks.needed("regex", "pattern", r"pattern = '^\d+$'")
    return checks.pattern(options.pattern)


METRIC = Metric("regex", "matches the pattern", score=score, alone=True, check=check)
