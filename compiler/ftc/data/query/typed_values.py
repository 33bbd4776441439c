"""Python values of DuckDB's columns where Arrow's own would mislead: JSON and padded objects."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ftc.facts.json_types import LISTS, DuckDBType
from ftc.plan.steps import ColumnType

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

Convert = Callable[[Any], Any]

CONVERSATION = ("messages", "tools")
"""Columns in whose objects a null means that the key is not there: a STRUCT has every key."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a column's values has to be put right, without DuckDB: another process may do it.

    `children` are the parts of an object by name, or the one part of a list or map, with the name "".
    """

    kind: Literal["json", "object", "map", "list"]
    children: tuple[tuple[str, Shape], ...] = ()
    padded: bool = False


def shape_of(con: DuckDBPyConnection, column: ColumnType) -> Shape | None:
    """What has to be put right in a column's values; None where they are right."""
    padded = column.name in CONVERSATION and "STRUCT(" in column.type
    if not padded and "JSON" not in column.type:
        return None
    return _shape(con.sqltype(column.type), padded=padded)


def _shape(type_: DuckDBType, *, padded: bool) -> Shape | None:
    if str(type_) == "JSON":
        return Shape("json")
    if type_.id not in LISTS | {"struct", "map"}:
        return None
    found = ((name, _shape(child, padded=padded)) for name, child in type_.children if name != "size")
    children = tuple((name, shape) for name, shape in found if shape is not None)
    if type_.id == "struct":
        return Shape("object", children, padded) if padded or children else None
    wanted = "value" if type_.id == "map" else "child"
    inner = tuple(("", shape) for name, shape in children if name == wanted)
    return Shape("map" if type_.id == "map" else "list", inner) if inner else None


def converted(values: list[Any], convert: Convert | None) -> list[Any]:
    """A column's values, put right; nulls stay."""
    return values if convert is None else [None if value is None else convert(value) for value in values]


def is_right(column: pa.Array, shape: Shape | None) -> bool:
    """Whether nothing of a column has to be put right: as most often, no key of any object has a null."""
    if shape is None:
        return True
    inner = shape.children[0][1] if shape.kind == "list" else None
    if inner is None or inner.kind != "object" or inner.children or not hasattr(column, "flatten"):
        return False
    objects = column.flatten()
    return objects.null_count == 0 and all(field.null_count == 0 for field in objects.flatten())


def converter(shape: Shape | None) -> Convert | None:
    """How values of a shape are put right; None where they are right."""
    if shape is None:
        return None
    if shape.kind == "json":
        return json.loads
    children = {name: converter(child) for name, child in shape.children}
    if shape.kind == "object":
        return _of_object(children, padded=shape.padded)
    inner = children[""]
    if shape.kind == "map":
        return lambda pairs: [(key, converted([value], inner)[0]) for key, value in pairs]
    return lambda items: converted(items, inner)


def _of_object(children: dict[str, Convert | None], *, padded: bool) -> Convert:
    def convert(value: dict[str, Any]) -> dict[str, Any]:
        if not children and None not in value.values():
            return value
        kept = {key: item for key, item in value.items() if item is not None or not padded}
        for key, put_right in children.items():
            if put_right is not None and kept.get(key) is not None:
                kept[key] = put_right(kept[key])
        return kept

    return convert
