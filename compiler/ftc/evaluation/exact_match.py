"""Exact match: the answer is one of the references, after the stated normalisation."""

from __future__ import annotations

from ftc.evaluation.base import Answer, Metric, Options
from ftc.evaluation.normalise import normalised


def score(answer: Answer, options: Options) -> float:
    """1 where the answer equals a reference; outer white space aside, unless `normalise` says otherwise."""
    made = normalised(answer.answer, options.normalise)
    return float(any(made == normalised(one, options.normalise) for one in answer.references))


METRIC = Metric("exact_match", "exact match", score=score)
