"""A variant of a recipe: values of a [sweep] laid over its settings, each with its place in the recipe."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from ftc.recipe.layers import Key, Layer, lookup
from ftc.recipe.toml_spans import Places, Range

NOTHING: Mapping[str, Any] = {}
KEYS: Key = ("sweep", "keys")


def parsed_key(text: str) -> Key | None:
    """The parts of a dotted key; None where it is none."""
    try:
        here: Any = tomllib.loads(f"{text} = 0")
    except tomllib.TOMLDecodeError:
        return None
    parts: list[str] = []
    while isinstance(here, dict):
        if len(here) != 1:
            return None
        ((name, here),) = here.items()
        parts.append(name)
    return tuple(parts)


def written_at(key: str, layers: Sequence[Layer]) -> tuple[Layer, Key] | None:
    """Where a key of [sweep] stands: under its quoted name, or as tables."""
    parts = parsed_key(key) or (key,)
    for path in ((*KEYS, key), (*KEYS, *parts)):
        for layer in layers:
            if lookup(layer.values, path) is not None:
                return layer, path
    return None


def variant_layers(variant: Mapping[str, Any], layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """A layer for each value of a variant, whose settings stand where [sweep] gives them."""
    return tuple(made for key, value in variant.items() if (made := _layer(key, value, layers)) is not None)


def _layer(key: str, value: Any, layers: Sequence[Layer]) -> Layer | None:
    found, parts = written_at(key, layers), parsed_key(key)
    if found is None or parts is None:
        return None
    layer, path = found
    nested: Any = value
    for part in reversed(parts):
        nested = {part: nested}
    place = _place(layer, path, value)
    keys = {parts: layer.places.keys[path]} if path in layer.places.keys else {}
    values = {parts: place} if place is not None else {}
    return Layer(layer.source, nested, Places(keys=keys, values=values), layer.directory)


def _place(layer: Layer, path: Key, value: Any) -> Range | None:
    """Where a value stands among those that are tried; the whole of them where it is from a range."""
    tried = lookup(layer.values, path)
    if isinstance(tried, list) and value in tried:
        inner = layer.places.values.get((*path, tried.index(value)))
        if inner is not None:
            return inner
    return layer.places.values.get(path)
