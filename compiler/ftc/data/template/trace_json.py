"""`tojson` with every character's origin, checked against the standard library's own encoding."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ftc.data.template.provenance import (
    CONTINUED,
    LITERAL,
    Run,
    Traced,
    TracedFloat,
    TracedInt,
    concatenate,
    cut_runs,
)


@dataclass(frozen=True, slots=True)
class Layout:
    """How JSON is laid out; the fields mean what they mean to `json.dumps`."""

    ensure_ascii: bool
    indent: str | None
    item: str
    key: str
    sort_keys: bool
    string: Callable[[Any, bool], Any]
    other: Callable[[Any], Any]

    def line(self, level: int) -> str:
        """What starts a line at a depth; empty where everything is on one line."""
        return "" if self.indent is None else "\n" + self.indent * level


def traced_string(value: str, ensure_ascii: bool) -> Traced:
    """A string in JSON, with its quotes."""
    encoded = json.dumps(value, ensure_ascii=ensure_ascii)
    if not isinstance(value, Traced):
        return Traced(encoded)
    plain = len(encoded) == len(value) + 2
    runs = value.runs if plain else tuple(_escape_runs(value, ensure_ascii))
    return Traced(encoded, ((1, LITERAL, 0), *runs, (1, LITERAL, 0)))


def layout_of(
    ensure_ascii: bool,
    indent: Any,
    separators: Any,
    sort_keys: bool,
    string: Callable[[Any, bool], Any] = traced_string,
    other: Callable[[Any], Any] = json.dumps,
) -> Layout:
    """The layout that arguments of `json.dumps` ask for; `string` and `other` encode what nests nothing."""
    step = " " * indent if isinstance(indent, int) else indent
    item, key = separators or ((", ", ": ") if indent is None else (",", ": "))
    return Layout(bool(ensure_ascii), step, item, key, bool(sort_keys), string, other)


def _escape_runs(text: Traced, ensure_ascii: bool) -> Iterator[Run]:
    for position, char in enumerate(str.__str__(text)):
        length, source, offset = next(run for run in cut_runs(text.runs, position, position + 1) if run[0])
        yield (length, source, offset)
        escaped = len(json.dumps(char, ensure_ascii=ensure_ascii)) - 2
        if escaped > 1:
            yield (escaped - 1, source, CONTINUED if source != LITERAL else 0)


def _key(key: Any, layout: Layout) -> Any:
    if isinstance(key, str):
        return layout.string(key, layout.ensure_ascii)
    return Traced(f'"{json.dumps(key)}"')


def _block(brackets: str, items: Iterable[Iterable[str]], layout: Layout, level: int) -> Iterator[str]:
    yield brackets[0]
    empty = True
    for item in items:
        yield layout.line(level + 1) if empty else layout.item + layout.line(level + 1)
        yield from item
        empty = False
    yield brackets[1] if empty else layout.line(level) + brackets[1]


def _pair(key: Any, value: Any, layout: Layout, level: int) -> Iterator[str]:
    yield _key(key, layout)
    yield layout.key
    yield from _encode(value, layout, level)


def _encode(value: Any, layout: Layout, level: int) -> Iterator[str]:
    if isinstance(value, str):
        yield layout.string(value, layout.ensure_ascii)
    elif isinstance(value, Mapping):
        pairs = sorted(value.items()) if layout.sort_keys else value.items()
        yield from _block("{}", (_pair(k, v, layout, level + 1) for k, v in pairs), layout, level)
    elif isinstance(value, (list, tuple)):
        yield from _block("[]", (_encode(item, layout, level + 1) for item in value), layout, level)
    elif isinstance(value, (TracedInt, TracedFloat)):
        yield str(value)
    else:
        yield layout.other(value)


def encoded(value: Any, layout: Layout) -> Iterator[Any]:
    """A value in JSON, in chunks."""
    return _encode(value, layout, 0)


def traced_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: Any = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> Traced:
    """The filter `tojson` of chat templates; LOST wherever this encoding and `json.dumps` differ."""
    expected = json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
    chunks = encoded(value, layout_of(ensure_ascii, indent, separators, sort_keys))
    traced = concatenate(str(chunk) if isinstance(chunk, Traced) else str.__str__(chunk) for chunk in chunks)
    return traced if str.__eq__(traced, expected) else Traced(expected)
