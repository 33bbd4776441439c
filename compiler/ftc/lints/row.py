"""A row as the lints see it: what is asked, what is answered, and every text that it brings along."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ftc.lints.scan import Scan

NO_TEXT = frozenset({"role", "type", "id", "tool_call_id"})
"""Keys of messages whose values are words of the format."""


PLAIN = ("role", "content")
"""The keys of a message that has what it must have, and nothing else."""

PACKED = ("[{", '{"')
"""How a text begins that is JSON in a string."""


class Sighting(NamedTuple):
    """Something in a row: its kinds, and the stretch of a text that shows it."""

    kinds: tuple[str, ...]
    text: str
    start: int
    end: int


@dataclass(slots=True, eq=False)
class Row:
    """A compiled row: its id, the rendering up to the answer (or all of it), the last answer.

    `values` are those of the columns that were rendered. Of a long row that was split, `part` is the number
    of the part from 1; the texts of all are looked at with the first.
    """

    id: str
    asked: str
    answer: str | None
    values: tuple[Any, ...]
    part: int = 0
    _texts: list[str] | None = field(default=None, init=False, repr=False)
    _answers: list[str] = field(default_factory=list, init=False, repr=False)
    _said: Scan | None = field(default=None, init=False, repr=False)

    def _gather(self) -> list[str]:
        """All texts of the row, and its answers beside them."""
        if self._texts is None:
            self._texts = []
            for value in self.values:
                if type(value) is not list or not _gather_plain(value, self._texts, self._answers):
                    _gather(value, self._texts, self._answers)
        return self._texts

    @property
    def text(self) -> str:
        """All texts of the row itself, one after the other, without what templates put around them."""
        return "" if self.part > 1 else "\n".join(self._gather())

    @property
    def said(self) -> Scan:
        """The text with the tests of it."""
        if self._said is None:
            self._said = Scan(self.text)
        return self._said

    @property
    def answers(self) -> Sequence[str]:
        """The answers in it, those of a conversation's earlier turns too."""
        self._gather()
        return self._answers if self.answer is None else [*self._answers, self.answer]

    @property
    def learned(self) -> str:
        """What the row teaches: its answer, or the document; nothing where an earlier part has it."""
        if self.part > 1:
            return ""
        return self.asked if self.answer is None else self.answer


def _gather_plain(messages: list[Any], texts: list[str], answers: list[str]) -> bool:
    """Add what plain messages say, as most are; False, and nothing added, where one is not plain."""
    found, said = [], []
    for message in messages:
        if type(message) is not dict or tuple(message) != PLAIN:
            return False
        role, content = message.values()
        if type(content) is not str or type(role) is not str or content[:2] in PACKED or role[:2] in PACKED:
            return False
        found.append(content)
        if role == "assistant":
            said.append(content)
    texts += found
    answers += said
    return True


def _gather(value: Any, texts: list[str], answers: list[str]) -> None:
    """Add every string in a value, as deep as it may be, and what an assistant says in it."""
    if isinstance(value, str):
        inner = unpacked(value) if value[:2] in PACKED else None
        if inner is None:
            texts.append(value)
        else:
            _gather(inner, texts, answers)
    elif isinstance(value, dict):
        _gather_fields(value, texts, answers)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            if type(inner) is dict:
                _gather_fields(inner, texts, answers)
            else:
                _gather(inner, texts, answers)


def _gather_fields(fields: dict[str, Any], texts: list[str], answers: list[str]) -> None:
    for key, value in fields.items():
        if type(value) is not str or value.startswith(PACKED):
            if value is not None:
                _gather(value, texts, answers)
        elif key not in NO_TEXT:
            texts.append(value)
    if fields.get("role") == "assistant":
        content = fields.get("content")
        if type(content) is str and not fields.get("tool_calls"):
            answers.append(content)


def unpacked(text: str) -> Any:
    """What a text says in JSON, if it is an object or an array of that; None where it is not."""
    if text[:1] not in ("{", "["):
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict | list) else None
