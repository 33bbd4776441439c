"""Accuracy of a label that is written out: the answer names the row's label."""

from __future__ import annotations

from ftc.evaluation.base import Answer, Metric, Options
from ftc.evaluation.contained import holds
from ftc.evaluation.normalise import label


def named(answer: str, labels: tuple[str, ...]) -> str | None:
    """The label that an answer names: what it is, or else the one label that occurs in it; None if not one.

    Of labels that lie within each other (`positive`, `very positive`), the longest that occurs is taken.
    """
    plain = {label(one): one for one in labels}
    if label(answer) in plain:
        return plain[label(answer)]
    found = [one for one in labels if holds(answer, one)]
    longest = [one for one in found if not any(one != other and holds(other, one) for other in found)]
    return longest[0] if len(longest) == 1 else None


def score(answer: Answer, options: Options) -> float:
    """1 where the answer is the reference; case, outer white space and punctuation aside.

    With `labels`, an answer with more words counts as the one label that occurs in it; two labels are wrong.
    """
    made = named(answer.answer, options.labels) if options.labels else answer.answer
    return float(made is not None and label(made) in {label(one) for one in answer.references})


METRIC = Metric("accuracy", "accuracy", score=score)
