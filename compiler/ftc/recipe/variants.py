"""A variant of a recipe: values of a [sweep] laid over its settings, each with its place in the recipe."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ftc.recipe.layers import Key, Layer, lookup
from ftc.recipe.sweep import BOUNDS
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


def flattened(value: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """`keys.train.epochs = […]` as `keys."train.epochs" = […]`: a table without bounds is a part of keys."""
    flat: dict[str, Any] = {}
    for name, inner in value.items():
        key = f"{above}.{name}" if above else name
        is_table = isinstance(inner, dict) and inner and not any(bound in inner for bound in BOUNDS)
        flat |= flattened(inner, key) if is_table else {key: inner}
    return flat


def with_flat_keys(layer: Layer) -> Layer:
    """A text in which the keys of [sweep] stand as one name each, however they were written."""
    keys = lookup(layer.values, KEYS)
    if not isinstance(keys, dict):
        return layer
    flat = flattened(keys)
    moved = {(*KEYS, *(parsed_key(key) or ())): (*KEYS, key) for key in flat if key not in keys}
    sweep = {**layer.values["sweep"], "keys": flat}
    return replace(layer, values={**layer.values, "sweep": sweep}, places=_moved(layer.places, moved))


def _moved(places: Places, moved: Mapping[Key, Key]) -> Places:
    """The places with some paths, and all below them, under other names."""

    def name(path: Key) -> Key:
        longer = (old for old in moved if path[: len(old)] == old)
        old = next(longer, None)
        return path if old is None else (*moved[old], *path[len(old) :])

    keys = {name(path): place for path, place in places.keys.items()}
    return replace(places, keys=keys, values={name(path): place for path, place in places.values.items()})


def written_at(key: str, layers: Sequence[Layer]) -> tuple[Layer, Key] | None:
    """The text in which a key of [sweep] stands, and its path there."""
    path = (*KEYS, key)
    found = next((layer for layer in layers if lookup(layer.values, path) is not None), None)
    return None if found is None else (found, path)


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
