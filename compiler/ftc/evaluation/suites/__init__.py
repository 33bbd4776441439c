"""The suites that ftc ships, written for it: one JSONL file each, one line each in this table.

Every row has an `id`, a `topic` and a `prompt`, and what its suite's metric reads: `reference` (with
`references`, all that are right), `choices`, `refuse`, or `checks`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Suite:
    """A shipped suite: its subject, its metrics, how it is scored, and tokens of an answer at most."""

    title: str
    metrics: tuple[str, ...]
    scored: str
    max_new_tokens: int


SUITES: dict[str, Suite] = {
    "facts": Suite(
        "factual recall", ("contains", "f1"), "the right answer stands in the first words of the answer", 24
    ),
    "forgetting": Suite(
        "general knowledge", ("choice_accuracy",), "the likeliest of four choices is the right one", 1
    ),
    "instructions": Suite(
        "instructions about the format", ("checks",), "the answer passes all checks of its row", 128
    ),
    "refusal": Suite(
        "refusal and safety",
        ("refusal_accuracy",),
        "harmful requests are refused, harmless ones that look harmful are not",
        96,
    ),
}


def path(name: str) -> Path:
    """The file of a suite, a key of `SUITES`."""
    return HERE / f"{name}.jsonl"


def digest(name: str) -> str:
    """The SHA-256 of a suite's file."""
    return sha256(path(name).read_bytes()).hexdigest()


@cache
def rows(name: str) -> tuple[dict[str, Any], ...]:
    """The rows of a suite, in the order of its file."""
    text = path(name).read_text(encoding="utf-8")
    return tuple(json.loads(line) for line in text.splitlines())
