"""The character F-score chrF, by sacreBLEU: the mean over the answers, from 0 to 100."""

from __future__ import annotations

from functools import cache
from typing import Any

from ftc.evaluation import checks
from ftc.evaluation.base import Answer, Metric, Options


@cache
def _chrf() -> Any:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()


def score(answer: Answer, options: Options) -> float:  # noqa: ARG001 - the form of every score
    """chrF2 of one answer: characters up to 6-grams, recall twice as heavy. Source: Popović 2015."""
    return float(_chrf().sentence_score(answer.answer, list(answer.references)).score)


METRIC = Metric(
    "chrf", "chrF", score=score, high=100.0, check=lambda _: checks.library("sacrebleu", "sacrebleu", "chrf")
)
