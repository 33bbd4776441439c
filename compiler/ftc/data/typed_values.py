"""Python values of DuckDB's columns where Arrow's own would mislead: JSON and padded objects."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ftc.facts.json_types import LISTS, DuckDBType
from ftc.plan.steps import ColumnType

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Convert = Callable[[Any], Any]

CONVERSATION = ("messages", "tools")
"""Columns in whose objects a null means that the key is not there: a STRUCT has every key."""


def converter(con: DuckDBPyConnection, column: ColumnType) -> Convert | None:
    """How a column's values are put right; None where they are right."""
    padded = column.name in CONVERSATION and "STRUCT(" in column.type
    if not padded and "JSON" not in column.type:
        return None
    return _converter(con.sqltype(column.type), padded=padded)


def converted(values: list[Any], convert: Convert | None) -> list[Any]:
    """A column's values, put right; nulls stay."""
    return values if convert is None else [None if value is None else convert(value) for value in values]


def _converter(type_: DuckDBType, *, padded: bool) -> Convert | None:
    if str(type_) == "JSON":
        return json.loads
    if type_.id not in LISTS | {"struct", "map"}:
        return None
    children = {name: _converter(child, padded=padded) for name, child in type_.children if name != "size"}
    if type_.id == "struct":
        return _of_struct(children, padded=padded) if padded or any(children.values()) else None
    if type_.id == "map":
        value = children["value"]
        return value and (lambda pairs: [(key, v if v is None else value(v)) for key, v in pairs])
    child = children["child"]
    return child and (lambda items: converted(items, child))


def _of_struct(children: dict[str, Convert | None], *, padded: bool) -> Convert:
    def convert(value: dict[str, Any]) -> dict[str, Any]:
        kept = {key: item for key, item in value.items() if item is not None or not padded}
        for key, put_right in children.items():
            if put_right is not None and kept.get(key) is not None:
                kept[key] = put_right(kept[key])
        return kept

    return convert
