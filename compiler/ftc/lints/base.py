"""What a lint is, what it finds, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from pydantic import Field, JsonValue

from ftc.recipe.base import Frozen

Level = Literal["allow", "warn", "deny"]

FIRST = 5
"""Rows that a result names; `rows` counts all of them."""


@dataclass(frozen=True, slots=True)
class Lint:
    """A line of the table: the diagnostic's code, the level unless stated, the setting it points at."""

    code: str
    level: Level
    at: tuple[str, ...]


class Hit(Frozen):
    """A row that a lint is about: its id, a short excerpt without secrets, the other row of a pair."""

    id: str
    excerpt: str = ""
    other: str = ""


class LintResult(Frozen):
    """What a lint found in the rows: how many, of how many it looked at, the first ones.

    `notable` says whether it is worth a word where the recipe states no level. `facts` are the figures that
    its message is made of. `missing` names a package without which the lint, or part of it, cannot look.
    """

    lint: str
    rows: int
    looked_at: int
    notable: bool = True
    first: tuple[Hit, ...] = ()
    facts: dict[str, JsonValue] = Field(default_factory=dict)
    missing: str | None = None

    def figure(self, name: str) -> float:
        """A number among the facts; 0 where it is not there."""
        value = self.facts.get(name, 0)
        return float(value) if isinstance(value, (int, float)) else 0.0

    def word(self, name: str) -> str:
        """A text among the facts; empty where it is not there."""
        value = self.facts.get(name, "")
        return value if isinstance(value, str) else ""

    def counts(self, name: str) -> dict[str, int]:
        """A table among the facts: names, and how often each occurs."""
        value = self.facts.get(name)
        pairs = value.items() if isinstance(value, dict) else ()
        return {key: count for key, count in pairs if isinstance(count, int)}


class Said(NamedTuple):
    """A result in words: the message, what to type, background."""

    message: str
    help: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Linted(NamedTuple):
    """A result with its level; None where the recipe states none and it is too little to be worth a word."""

    level: Level | None
    result: LintResult


def count(rows: int, one: str, several: str) -> str:
    """`one row is …` or `1,024 rows are …`; `one` and `several` begin with the verb or the noun's rest."""
    return f"one row {one}" if rows == 1 else f"{rows:,} rows {several}"


def percent(share: float) -> str:
    """A share in percent: 0.1 to 99.9 with one decimal at both ends, never rounded to nothing or all."""
    value = 100 * share
    if share in (0, 1) or 10 <= value <= 90:
        return f"{value:.0f} %"
    return f"{min(max(value, 0.1), 99.9):.1f} %"


def listed(counts: dict[str, int]) -> str:
    """`1,024 e-mail address, 3 telephone number`: what occurs how often, the most frequent first."""
    pairs = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{number:,} × {name}" for name, number in pairs)
