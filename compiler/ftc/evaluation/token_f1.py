"""F1 of the words of an answer against the reference, as SQuAD counts it."""

from __future__ import annotations

from collections import Counter

from ftc.evaluation.base import Answer, Metric, Options
from ftc.evaluation.normalise import squad


def f1(made: str, reference: str) -> float:
    """The harmonic mean of precision and recall over the words, after SQuAD's normalisation.

    Where either has no words left, 1 if neither has, else 0. Source: Rajpurkar et al. 2016; for answers
    without words the evaluation script of SQuAD v2.0.
    """
    answer, wanted = squad(made).split(), squad(reference).split()
    if not answer or not wanted:
        return float(answer == wanted)
    common = (Counter(answer) & Counter(wanted)).total()
    return 2 * common / (len(answer) + len(wanted))


def score(answer: Answer, options: Options) -> float:  # noqa: ARG001 - the form of every score
    """The best F1 over the references."""
    return max(f1(answer.answer, one) for one in answer.references)


METRIC = Metric("f1", "F1 of words", score=score)
