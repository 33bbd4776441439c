"""Spans of text and the findings that point at them; a user's mistake is a value, never raised."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property


class Severity(StrEnum):
    """How bad a finding is; only errors stop a command."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Source:
    """A text that spans point into: a file's content under the name shown to people."""

    name: str
    text: str

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(i + 1 for i, c in enumerate(self.text) if c == "\n")]

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column (both from 1, in characters) of a character offset."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of line `number` (from 1), without its line end."""
        start = self._starts[number - 1]
        end = self.text.find("\n", start)
        return self.text[start : len(self.text) if end < 0 else end].rstrip("\r")


@dataclass(frozen=True)
class Span:
    """A stretch of characters, `start` included and `end` excluded, in one source."""

    source: Source = field(repr=False)
    start: int
    end: int

    @property
    def place(self) -> str:
        """`file:line:column`, as editors understand it."""
        line, column = self.source.position(self.start)
        return f"{self.source.name}:{line}:{column}"


@dataclass(frozen=True)
class Finding:
    """One diagnostic: a code of the catalogue, a sentence, its place, and what to do.

    `place` names a position outside the recipe (`data/x.jsonl:17`, a row id) and is shown when there
    is no span, or in addition to it. `label` stands beside the caret, `help` says what to type,
    `notes` give background.
    """

    code: str
    message: str
    span: Span | None = None
    label: str = ""
    place: str = ""
    help: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    severity: Severity = Severity.ERROR


def has_errors(findings: Iterable[Finding]) -> bool:
    """Whether any finding is an error."""
    return any(f.severity is Severity.ERROR for f in findings)


def _order(finding: Finding) -> tuple[str, int, str, str]:
    span = finding.span
    name = span.source.name if span else finding.place
    return (name, span.start if span else -1, finding.code, finding.message)


def sort_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings in the order of the text they point at, each once."""
    return tuple(sorted(dict.fromkeys(findings), key=_order))
