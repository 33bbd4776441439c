"""What is done with a key that stands on its own: where its value goes, or why it stays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ftc.importing.draft import EMPTY, OFF, Draft, plain

Rule = Callable[[Draft, str], None]


def number(to: str, why: str = "") -> Rule:
    """A number goes to the recipe's key."""

    def rule(draft: Draft, key: str) -> None:
        value = draft.number(key)
        if value is not None:
            draft.carry(key, to, plain(value), why)

    return rule


def whole(to: str, why: str = "") -> Rule:
    """A whole number goes to the recipe's key."""

    def rule(draft: Draft, key: str) -> None:
        value = draft.whole(key)
        if value is not None:
            draft.carry(key, to, value, why)

    return rule


def flag(to: str, why: str = "", **words: Any) -> Rule:
    """A truth value goes to the recipe's key; `yes` and `no` are what it is called there."""

    def rule(draft: Draft, key: str) -> None:
        value = draft.flag(key)
        if value is not None:
            draft.carry(key, to, words.get("yes" if value else "no", value), why)

    return rule


def when(to: str, value: Any, why: str = "off, and so it is in ftc") -> Rule:
    """Where the key is true, the recipe's key has a value; otherwise there is nothing to write."""

    def rule(draft: Draft, key: str) -> None:
        given = draft.flag(key)
        if given:
            draft.carry(key, to, value)
        elif given is not None:
            draft.fine(key, why)

    return rule


def positive(to: str, why: str = "0, which is off, and so it is in ftc") -> Rule:
    """A number above 0 goes to the recipe's key."""

    def rule(draft: Draft, key: str) -> None:
        value = draft.number(key)
        if value:
            draft.carry(key, to, plain(value))
        elif value is not None:
            draft.fine(key, why)

    return rule


def text(to: str, why: str = "") -> Rule:
    """A text goes to the recipe's key."""

    def rule(draft: Draft, key: str) -> None:
        value = draft.text(key)
        if value is not None:
            draft.carry(key, to, value, why)

    return rule


def texts(to: str, why: str = "") -> Rule:
    """A list of texts goes to the recipe's key."""

    def rule(draft: Draft, key: str) -> None:
        value = draft.texts(key)
        if value is not None:
            draft.carry(key, to, value, why)

    return rule


def fine(why: str) -> Rule:
    """The key has nothing to do in ftc."""
    return lambda draft, key: draft.fine(key, why)


def lost(why: str, instead: str = "", off: Iterable[Any] = OFF) -> Rule:
    """The key has no counterpart, unless its value is one that does nothing."""
    idle = tuple(off)

    def rule(draft: Draft, key: str) -> None:
        value = draft.get(key)
        if value is None or value in ("", [], {}):
            draft.fine(key, EMPTY)
        elif any(value is one or (type(value) is type(one) and value == one) for one in idle):
            draft.fine(key, "off, and so it is in ftc")
        else:
            draft.lose(key, why, instead)

    return rule


def passed(default: Any = None) -> Rule:
    """An option of transformers or TRL is passed through [train.trl] unless it has its default there."""

    def rule(draft: Draft, key: str) -> None:
        value = draft.get(key)
        if isinstance(default, float):
            value = draft.number(key)
        if value is None:
            draft.fine(key, EMPTY)
        elif value == default and isinstance(value, bool) == isinstance(default, bool):
            draft.fine(key, "the default of transformers, which ftc leaves as it is")
        else:
            draft.carry(key, f"train.trl.{key}", value)

    return rule


def group(rule: Rule, names: str) -> dict[str, Rule]:
    """The same rule for several keys, their names separated by blanks."""
    return dict.fromkeys(names.split(), rule)


def words(text: str) -> frozenset[str]:
    """Names separated by blanks."""
    return frozenset(text.split())


def apply(rules: Mapping[str, Rule], draft: Draft) -> None:
    """Apply each rule whose key is in the file and has no verdict yet."""
    for key in list(draft.table()):
        if key in rules and not draft.touched(draft.path(key)):
            rules[key](draft, key)
