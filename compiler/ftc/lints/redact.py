"""Replace personal data and secrets in the values of a row, before anything is made of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ftc.lints.kinds import available, detect, label, replaced
from ftc.lints.row import unpacked
from ftc.lints.scan import Scan

LONG_NUMBER = 10**9
"""A whole number from which on it may be a card's or an account's."""


class Redactor:
    """Puts `[EMAIL]` and the like in the place of what it finds, in texts however deep they are.

    What is reserved or published is replaced too. `kinds` are known and their packages are installed.
    """

    def __init__(self, kinds: Sequence[str]) -> None:
        self._kinds = available(kinds)

    def row(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], Counter[str]]:
        """The values of a row without what was found, and how often each kind was."""
        found: Counter[str] = Counter()
        return {name: self._value(value, found) for name, value in values.items()}, found

    def text(self, text: str) -> str:
        """A text without what was found in it."""
        return self._plain(text, Counter())

    def _value(self, value: Any, found: Counter[str]) -> Any:
        if isinstance(value, str):
            return self._text(value, found)
        if isinstance(value, dict):
            return {self._value(key, found): self._value(inner, found) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return type(value)([self._value(inner, found) for inner in value])
        if isinstance(value, int) and abs(value) >= LONG_NUMBER:
            text = self._plain(str(value), found)
            return value if text == str(value) else text
        return value

    def _text(self, text: str, found: Counter[str]) -> str:
        """A text, or JSON in one: in its escapes an address would hide, or lose its beginning."""
        inner = unpacked(text) if "\\" in text else None
        if inner is None:
            return self._plain(text, found)
        before = found.total()
        cleaned = self._value(inner, found)
        return json.dumps(cleaned, ensure_ascii=False) if found.total() > before else text

    def _plain(self, text: str, found: Counter[str]) -> str:
        seen = detect(Scan(text), self._kinds)
        found.update(one.kind for one in seen)
        return replaced(text, seen) if seen else text


def replaced_by(found: Mapping[str, int]) -> str:
    """What was replaced in a row, for the ledger: the kinds, sorted."""
    return f"replaced by {', '.join(label(kind) for kind in sorted(found))}"
