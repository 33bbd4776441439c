"""Labels of a closed set: whether the one that the model finds likeliest is right, and F1 over them all."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ftc.evaluation.base import Answer, Metric, Options


def score(answer: Answer, options: Options) -> float:  # noqa: ARG001 - the likeliest label stands as the answer
    """1 where the likeliest label, handed in as the answer, is the reference, outer white space aside."""
    return float(answer.answer.strip() == answer.reference.strip())


def parts(answer: Answer, options: Options) -> tuple[float, ...]:
    """For each label of the set whether it was found, whether it is right, and whether both."""
    found, right = answer.answer.strip(), answer.reference.strip()
    labels = [label.strip() for label in options.labels]
    both = ((label == found, label == right) for label in labels)
    return tuple(
        float(one) for is_found, is_right in both for one in (is_found, is_right, is_found and is_right)
    )


def macro_f1(sums: Sequence[float]) -> float:
    """The mean over labels of twice what is found and right by what is found plus what is right.

    Labels that occur on neither side count nowhere. Source: Sokolova and Lapalme 2009, over classes.
    """
    labels = [sums[place : place + 3] for place in range(0, len(sums), 3)]
    scores = [2 * both / (found + right) for found, right, both in labels if found + right > 0]
    return math.fsum(scores) / len(scores) if scores else 0.0


METRIC = Metric("label_accuracy", "accuracy among the labels", needs="labels", score=score)
MACRO_F1 = Metric(
    "macro_f1", "macro F1 of the labels", needs="labels", score=score, parts=parts, combine=macro_f1
)
