"""Contains: a reference occurs in the answer, as whole words."""

from __future__ import annotations

from ftc.evaluation.base import Answer, Metric, Options

SPACED = 0x0590
"""The scripts below this code point (Latin, Greek, Cyrillic, Armenian) part words with spaces."""


def _joined(edge: str, beside: str) -> bool:
    """Whether two neighbouring characters belong to one word."""
    return edge.isalnum() and ord(edge) < SPACED and beside.isalnum() and ord(beside) < SPACED


def _whole(text: str, start: int, end: int) -> bool:
    before = start > 0 and _joined(text[start], text[start - 1])
    after = end < len(text) and _joined(text[end - 1], text[end])
    return not (before or after)


def holds(text: str, part: str) -> bool:
    """Whether a text has the part in it, not within a longer word; case and repeated white space aside."""
    text, part = " ".join(text.casefold().split()), " ".join(part.casefold().split())
    start = text.find(part) if part else -1
    while start >= 0:
        if _whole(text, start, start + len(part)):
            return True
        start = text.find(part, start + 1)
    return False


def score(answer: Answer, options: Options) -> float | None:  # noqa: ARG001 - the form of every score
    """1 where the answer has a reference in it; None where there is no reference."""
    references = [one for one in answer.references if one.strip()]
    return float(any(holds(answer.answer, one) for one in references)) if references else None


METRIC = Metric("contains", "contains the reference", score=score)
