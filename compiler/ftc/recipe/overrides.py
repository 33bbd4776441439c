"""`--set KEY=VALUE`: settings from the command line, each a layer of its own above the recipe."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ftc.diagnostics import Finding, Source, Span
from ftc.recipe.layers import Layer, Values
from ftc.recipe.toml_spans import Places, Range, ScanError, scan

SOURCE_NAME = "--set"
_KEY_CHARACTER = re.compile(r"[^A-Za-z0-9_.\-\s]")
_OPENING = "\"'[{"


def read_overrides(overrides: Iterable[str], directory: Path) -> tuple[tuple[Layer, ...], list[Finding]]:
    """A layer for each override, the last given first (it wins), and what is wrong with the others."""
    layers: list[Layer] = []
    findings: list[Finding] = []
    for text in overrides:
        read = _read(Source(SOURCE_NAME, text), directory)
        if isinstance(read, Layer):
            layers.append(read)
        else:
            findings.append(read)
    return tuple(reversed(layers)), findings


def _read(source: Source, directory: Path) -> Layer | Finding:
    equals = _equals_sign(source.text)
    if equals is None:
        return _no_value(source)
    key = _key(source, equals)
    if isinstance(key, Finding):
        return key
    path, place = key
    if path[0] == "extends":
        return _wrong(source, place, "`extends` cannot be set on the command line", "write it in the recipe")
    value = _value(source, equals, path)
    if isinstance(value, Finding):
        return value
    values, places = value
    return Layer(source, values, places, directory)


def _equals_sign(text: str) -> int | None:
    """Where the key ends: the first `=` outside quotes."""
    outside = re.sub(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'", lambda match: "x" * len(match.group()), text)
    at = outside.find("=")
    return None if at < 0 else at


def _key(source: Source, equals: int) -> tuple[tuple[str | int, ...], Range] | Finding:
    text = source.text[:equals]
    try:
        tomllib.loads(f"{text}=0")
        places = scan(f"{text}=0")
    except (tomllib.TOMLDecodeError, ScanError):
        return _bad_key(source, text)
    path = max(places.keys, key=len)
    return path, places.keys[path]


def _bad_key(source: Source, text: str) -> Finding:
    odd = _KEY_CHARACTER.search(text)
    if not text.strip():
        return _wrong(source, (0, 1), "the override names no key", _EXAMPLE)
    if odd:
        message = f"`{odd.group()}` cannot stand in a key"
        return _wrong(source, odd.span(), message, f"keys are names joined by dots: {_EXAMPLE}")
    return _wrong(source, (0, len(text)), f"`{text}` is not a key", _EXAMPLE)


def _value(source: Source, equals: int, path: tuple[str | int, ...]) -> tuple[Values, Places] | Finding:
    text = source.text
    start = equals + 1 + len(text[equals + 1 :]) - len(text[equals + 1 :].lstrip())
    value = text[start:].rstrip()
    if not value:
        return _wrong(source, (equals, equals + 1), "the override gives no value", _EXAMPLE)
    try:
        parsed = tomllib.loads(text)
        places = scan(text)
    except (ValueError, RecursionError, ScanError):
        parsed, places = {}, Places()
    if path in places.values and places.values[path][1] == start + len(value):
        return parsed, places
    if value[0] in _OPENING and not value.startswith(("{{", "{%")):
        kind = {"[": "array", "{": "inline table"}.get(value[0], "string")
        return _wrong(
            source, (start, start + len(value)), f"the value begins like a TOML {kind} but is none", ""
        )
    return _bare_word(source, equals, path, (start, start + len(value)))


def _bare_word(
    source: Source, equals: int, path: tuple[str | int, ...], place: Range
) -> tuple[Values, Places]:
    """A value that is no TOML is taken as the string it spells, so that paths need no quotes."""
    nested: Any = source.text[slice(*place)]
    for part in reversed(path):
        nested = {part: nested}
    keys = scan(f"{source.text[:equals]}=0").keys
    return nested, Places(keys=keys, values={path: place})


def _no_value(source: Source) -> Finding:
    key = source.text.strip() or "train.epochs"
    return _wrong(
        source, (0, len(source.text)), "an override has the form KEY=VALUE", f"write --set {key}=VALUE"
    )


_EXAMPLE = "for example --set train.epochs=1"


def _wrong(source: Source, place: Range, message: str, help_line: str) -> Finding:
    return Finding("FTC109", message, Span(source, *place), help=(help_line,) if help_line else ())
