"""JSON validity: the whole answer is one JSON text."""

from __future__ import annotations

import json
from typing import Any

from ftc.evaluation.base import Answer, Metric, Options


class NotJsonError(ValueError):
    """A text is not JSON; the message says where."""


def _constant(name: str) -> Any:
    raise NotJsonError(f"{name} is not JSON")


def _integer(digits: str) -> int | float:
    """An integer; one too long for Python's limit as a float."""
    return int(digits) if len(digits) < 4000 else float(digits)


def parsed(text: str) -> Any:
    """The value of a JSON text (RFC 8259), outer white space aside. Raises NotJsonError."""
    try:
        return json.loads(text.strip(), parse_constant=_constant, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        raise NotJsonError(str(error)) from error


def score(answer: Answer, options: Options) -> float:  # noqa: ARG001 - the form of every score
    """1 where the answer is JSON and nothing else; a fence around it or a word before it is none."""
    try:
        parsed(answer.answer)
    except NotJsonError:
        return 0.0
    return 1.0


METRIC = Metric("valid_json", "valid JSON", score=score, alone=True)
