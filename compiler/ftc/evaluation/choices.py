"""Multiple choice: the likeliest of the row's own choices is the right one."""

from __future__ import annotations

from ftc.evaluation.base import Answer, Metric, Options


def score(answer: Answer, options: Options) -> float:  # noqa: ARG001 - the likeliest stands as the answer
    """1 where the likeliest of the column `choices`, handed in as the answer, is a reference."""
    return float(answer.answer.strip() in {one.strip() for one in answer.references})


METRIC = Metric("choice_accuracy", "the likeliest choice is right", needs="choices", score=score)
