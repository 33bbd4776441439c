"""Label accuracy: the label of a closed set that the model finds likeliest is the row's own."""

from __future__ import annotations

from ftc.evaluation.base import Answer, Metric, Options


def score(answer: Answer, options: Options) -> float:  # noqa: ARG001 - the likeliest label stands as the answer
    """1 where the likeliest label, handed in as the answer, is the reference, outer white space aside."""
    return float(answer.answer.strip() == answer.reference.strip())


METRIC = Metric("label_accuracy", "accuracy among the labels", needs="labels", score=score)
