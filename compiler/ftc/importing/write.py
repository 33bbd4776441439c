"""A draft as a recipe's text: sections in the order people read them, each value with where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ftc.importing.draft import Draft, Setting, Where
from ftc.recipe.toml_text import ORDER, to_toml

SECTIONS = ("", "model", "data", "render", "tune", "train", "eval", "project")
DOTTED = (("data", "sources"), ("data", "mix"), ("train", "trl"))
"""Tables whose keys stand on lines of their own: `sources.NAME = …`."""
WIDEST = 110


def recipe_text(draft: Draft, title: str) -> tuple[str, tuple[tuple[int, Where], ...]]:
    """The recipe, and the offset at which each of its settings begins."""
    lines = [
        f"# Made by `ftc import` from {_printable(draft.home.file.name)}, a configuration of {title}.",
        "# `ftc check` on this file finds what is wrong; `ftc plan` shows what would happen, and why.",
    ]
    starts: list[tuple[int, Where]] = []
    for section in SECTIONS:
        settings = {where: one for where, one in draft.settings.items() if _section(where) == section}
        if not settings:
            continue
        if not section:
            settings = dict(sorted(settings.items(), key=lambda one: ORDER.index(one[0][0])))
        lines += ["", f"[{section}]"] if section else [""]
        for where, setting in _grouped(settings).items():
            at = sum(len(line) + 1 for line in lines)
            starts.append((at, where))
            lines += _lines(where, setting)
    return "\n".join(lines) + "\n", tuple(starts)


def _section(where: Where) -> str:
    return where[0] if len(where) > 1 else ""


def _grouped(settings: Mapping[Where, Setting]) -> dict[Where, Setting]:
    """Settings by the key on whose line they stand: those of an inline table together."""
    found: dict[Where, Setting] = {}
    for where, setting in settings.items():
        if len(where) < 3 or where[:2] in DOTTED:
            found[where] = setting
            continue
        line, name = where[:2], where[2]
        before = found.get(line, Setting({}))
        comment = "; ".join(dict.fromkeys(filter(str.strip, (before.comment, setting.comment))))
        found[line] = Setting({**before.value, name: setting.value}, comment, before.keys + setting.keys)
    return found


def _lines(where: Where, setting: Setting) -> list[str]:
    """The line of a setting with its comment behind it, or in front where that would be too long."""
    key = ".".join(where[1:] or where)
    text = _assignment(key, setting.value)
    comment = _printable(setting.comment.strip())
    if not comment:
        return [text]
    beside = f"{text}  # {comment}"
    if "\n" not in text and len(beside) <= WIDEST:
        return [beside]
    return [*(f"# {line}" for line in _folded(comment)), text]


def _assignment(key: str, value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(_assignment(name, one) for name, one in value.items())
        return f"{key} = {{ {inner} }}"
    stated = to_toml({"x": value}).strip("\n").removeprefix("x = ")
    if isinstance(value, str) and value.startswith("\n"):
        stated = stated.replace('"""\n\n', '"""\n', 1)
    return f"{key} = {stated}"


def _folded(comment: str) -> list[str]:
    import textwrap

    return textwrap.wrap(comment, WIDEST - 2, break_long_words=True)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
