"""Preference accuracy: the chosen answer is put above the rejected one."""

from __future__ import annotations

from ftc.evaluation.base import Answer, Metric, Options


def score(answer: Answer, options: Options) -> float | None:  # noqa: ARG001 - the form of every score
    """1 where the column `chosen` is above `rejected`, a half where they are equal, else 0.

    The two columns hold figures of the two answers that the runtime makes: log-probabilities or rewards. None
    where one is missing.
    """
    chosen, rejected = answer.columns.get("chosen"), answer.columns.get("rejected")
    if chosen is None or rejected is None:
        return None
    return 0.5 if chosen == rejected else float(chosen > rejected)


METRIC = Metric(
    "preference_accuracy", "the chosen is above the rejected", needs="pairs", score=score, alone=True
)
