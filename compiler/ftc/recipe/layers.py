"""The texts a recipe is made of, most specific first, and the place of every setting in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftc.diagnostics import Source, Span
from ftc.recipe import toml_spans
from ftc.recipe.toml_spans import Places, Range

Values = dict[str, Any]
Key = tuple[str | int, ...]

ALTERNATIVES: tuple[tuple[frozenset[Key], ...], ...] = (
    (frozenset({("train", "epochs")}), frozenset({("train", "steps")})),
    (
        frozenset({("render", "text")}),
        frozenset({("render", "user"), ("render", "assistant")}),
        frozenset({("render", "prompt"), ("render", "completion")}),
    ),
    (frozenset({("data", "query")}), frozenset({("data", "mix")})),
)
"""Settings that exclude each other: a more specific layer which gives one side displaces the others."""


@dataclass(frozen=True)
class Layer:
    """One text of a recipe: the file itself, a recipe it extends, or a `--set` override.

    Relative paths in it resolve against `directory`.
    """

    source: Source
    values: Values
    places: Places
    directory: Path

    def has(self, path: Key) -> bool:
        """Whether the text gives this setting."""
        return lookup(self.values, path) is not None

    def range(self, path: Key, *, prefer_key: bool) -> Range | None:
        """Where a setting stands: its key or its value, whichever is preferred and exists."""
        key, value = self.places.keys.get(path), self.places.values.get(path)
        return (key or value) if prefer_key else (value or key)


class Origins:
    """Where each setting of a recipe stands, over all texts it is made of."""

    def __init__(self, layers: tuple[Layer, ...], main: Layer) -> None:
        self.layers = layers
        self.main = main

    def key(self, *path: str | int) -> Span | None:
        """The key of a setting, or of the nearest table around it that exists in a text."""
        return self._nearest(path, prefer_key=True)

    def value(self, *path: str | int) -> Span | None:
        """The value of a setting, or of the nearest table around it that exists in a text."""
        return self._nearest(path, prefer_key=False)

    def inside(self, path: Key, start: int, end: int) -> Span | None:
        """Characters `start` to `end` of a decoded string value, as they stand in the text."""
        layer = self._layer(path)
        place = layer.places.values.get(path) if layer else None
        if layer is None or place is None or layer.source.text[place[0]] not in "\"'":
            return self._bare(layer, place, start, end)
        parts = toml_spans.string_parts(layer.source.text, *place)
        first = parts[min(start, len(parts) - 1)]
        last = parts[min(end, len(parts)) - 1] if end > start else first
        return Span(layer.source, first.start, max(last.stop, first.start))

    def directory(self, *path: str | int) -> Path:
        """The directory against which a relative path written at this place resolves."""
        for end in range(len(path), 0, -1):
            layer = self._layer(path[:end])
            if layer:
                return layer.directory
        return self.main.directory

    def header(self, *path: str | int) -> Span:
        """The header of a table, or of one around it, or else the end of the recipe's text."""
        return self.value(*path) or self.end()

    def end(self) -> Span:
        """Just after the last setting in the recipe's text."""
        at = max((end for _, end in self.main.places.values.values()), default=0)
        return Span(self.main.source, at, at)

    def layer(self, *path: str | int) -> Layer | None:
        """The text that gives a setting; None where none does."""
        return self._layer(path)

    def _layer(self, path: Key) -> Layer | None:
        return next((layer for layer in self.layers if layer.range(path, prefer_key=True)), None)

    def _nearest(self, path: Key, *, prefer_key: bool) -> Span | None:
        for end in range(len(path), 0, -1):
            layer = self._layer(path[:end])
            place = layer.range(path[:end], prefer_key=prefer_key) if layer else None
            if layer and place:
                return Span(layer.source, *place)
        return None

    @staticmethod
    def _bare(layer: Layer | None, place: Range | None, start: int, end: int) -> Span | None:
        """Characters of a word on the command line that needs no quotes."""
        if layer is None or place is None:
            return None
        return Span(layer.source, min(place[0] + start, place[1]), min(place[0] + end, place[1]))


def lookup(values: Mapping[str, Any], path: Key) -> Any:
    """The value at a path, or None where there is none."""
    here: Any = values
    for part in path:
        in_list = isinstance(here, list) and isinstance(part, int) and part < len(here)
        if not in_list and not (isinstance(here, dict) and part in here):
            return None
        here = here[part]
    return here


def merged(layers: tuple[Layer, ...]) -> Values:
    """The settings of all layers: tables merge, everything else is replaced by the more specific."""
    result: Values = {}
    for layer in reversed(layers):
        result = _overlaid(_displaced(result, layer.values), layer.values)
    return result


def _overlaid(below: Values, above: Values) -> Values:
    result = dict(below)
    for name, value in above.items():
        old = result.get(name)
        both = isinstance(old, dict) and isinstance(value, dict)
        result[name] = _overlaid(old, value) if both else value  # type: ignore[arg-type]
    return result


def _displaced(below: Values, above: Values) -> Values:
    """`below` without what a setting of `above` makes void."""
    for sides in ALTERNATIVES:
        given = [side for side in sides if any(lookup(above, path) is not None for path in side)]
        if len(given) == 1:
            gone = frozenset[Key]().union(*(side for side in sides if side is not given[0]))
            below = _without(below, gone)
    method = lookup(above, ("tune", "method"))
    if method is not None and method != lookup(below, ("tune", "method")):
        below = {name: value for name, value in below.items() if name != "tune"}
    return below


def _without(values: Values, gone: frozenset[Key], prefix: Key = ()) -> Values:
    return {
        name: _without(value, gone, (*prefix, name)) if isinstance(value, dict) else value
        for name, value in values.items()
        if (*prefix, name) not in gone
    }
