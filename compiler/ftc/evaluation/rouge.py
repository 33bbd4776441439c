"""ROUGE F-measures, by the package rouge-score."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from ftc.evaluation import checks
from ftc.evaluation.base import Answer, Metric

WORD = re.compile(r"[^\W_]+")


class Words:
    """Runs of letters and digits in lower case: the package's own tokens where a text is ASCII.

    The package drops all other letters, so that a text in Greek would have no word at all.
    """

    def tokenize(self, text: str) -> list[str]:
        """The words of a text, as the package calls it."""
        return WORD.findall(text.lower())


@lru_cache(maxsize=8)
def _scorer(kind: str) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([kind], tokenizer=Words())


def f_measure(kind: str, answer: Answer) -> float:
    """The best F-measure over the references; no stemming. Source: Lin 2004."""
    return max(float(_scorer(kind).score(one, answer.answer)[kind].fmeasure) for one in answer.references)


def metric(name: str, kind: str, title: str) -> Metric:
    """The metric of one kind of ROUGE."""
    return Metric(
        name,
        title,
        score=lambda answer, _: f_measure(kind, answer),
        check=lambda _: checks.library("rouge_score", "rouge-score", name),
    )


ROUGE_1 = metric("rouge1", "rouge1", "ROUGE-1")
ROUGE_2 = metric("rouge2", "rouge2", "ROUGE-2")
ROUGE_L = metric("rougeL", "rougeL", "ROUGE-L")
