"""Settings as TOML text: one canonical form, which tomllib reads back as the same values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any

ORDER = ("name", "extends", "seed", "model", "data", "render", "tune", "train", "eval", "hardware", "budget")
"""Keys of the recipe's top level in the order people read them; all else is sorted by name."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def to_toml(values: Mapping[str, Any]) -> str:
    """TOML text of nested tables: plain values of a table first, then its tables under their headers."""
    lines = _table(values, ())
    return "\n".join(lines).strip("\n") + "\n" if lines else ""


def _table(values: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    names = sorted(values, key=_rank if not path else str)
    plain = [name for name in names if not isinstance(values[name], dict)]
    tables = [name for name in names if isinstance(values[name], dict)]
    lines = []
    if path and (plain or not tables):
        lines += ["", "[" + ".".join(map(_key, path)) + "]"]
    lines += [f"{_key(name)} = {_value(values[name], multiline=True)}" for name in plain]
    for name in tables:
        lines += _table(values[name], (*path, name))
    return lines


def _rank(name: str) -> tuple[int, str]:
    return (ORDER.index(name) if name in ORDER else len(ORDER), name)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _basic(name)


def _value(value: Any, *, multiline: bool = False) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _multiline(value) if multiline and "\n" in value else _basic(value)
        case list():
            return "[" + ", ".join(map(_value, value)) + "]"
        case dict():
            inner = ", ".join(f"{_key(name)} = {_value(value[name])}" for name in sorted(value))
            return f"{{ {inner} }}" if inner else "{}"
        case datetime() | date() | time():
            return value.isoformat()
    return repr(value)


def _basic(text: str) -> str:
    return '"' + _escaped(text.replace("\\", "\\\\").replace('"', '\\"')).replace("\n", "\\n") + '"'


def _multiline(text: str) -> str:
    body = text.replace("\\", "\\\\")
    if '"""' in body or body.endswith('"'):
        body = body.replace('"', '\\"')
    return '"""\n' + _escaped(body) + '"""'


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda match: match.group() if match.group() == "\n" else _code(match.group()), text)


def _code(character: str) -> str:
    return "\\r" if character == "\r" else f"\\u{ord(character):04x}"
