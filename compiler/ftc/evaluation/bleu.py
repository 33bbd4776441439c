"""BLEU, by sacreBLEU: of the whole suite, from 0 to 100."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ftc.evaluation import checks
from ftc.evaluation.base import Answer, Metric, Options

ORDER = 4


@lru_cache(maxsize=2)
def _bleu(effective_order: bool) -> Any:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(effective_order=effective_order)


def score(answer: Answer, options: Options) -> float:  # noqa: ARG001 - the form of every score
    """BLEU of one answer, with the orders of n-grams that it has; shown per example, and not averaged."""
    return float(_bleu(effective_order=True).sentence_score(answer.answer, list(answer.references)).score)


def parts(answer: Answer, options: Options) -> tuple[float, ...]:  # noqa: ARG001 - the form of every one
    """What BLEU of a suite sums: matching n-grams, n-grams, both for 1 to 4, and the two lengths."""
    found = _bleu(effective_order=False).corpus_score([answer.answer], [[one] for one in answer.references])
    return (*found.counts, *found.totals, found.sys_len, found.ref_len)


def combine(sums: Sequence[float]) -> float:
    """BLEU from these sums (Papineni et al. 2002; tokens as WMT's 13a, exponential smoothing, Post 2018)."""
    from sacrebleu.metrics.bleu import BLEU

    whole = [round(one) for one in sums]
    found = BLEU.compute_bleu(
        correct=whole[:ORDER],
        total=whole[ORDER : 2 * ORDER],
        sys_len=whole[-2],
        ref_len=whole[-1],
        smooth_method="exp",
    )
    return float(found.score)


METRIC = Metric(
    "bleu",
    "BLEU",
    score=score,
    high=100.0,
    check=lambda _: checks.library("sacrebleu", "sacrebleu", "bleu"),
    parts=parts,
    combine=combine,
)
