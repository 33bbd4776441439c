"""The types in which JSON lines are read: DuckDB's guesses, less those that would change what a file says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftc.facts.sandbox import identifier

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

DuckDBType = Any
"""DuckDBPyType; its children are typed as a union that fits none of them."""

LISTS = frozenset({"list", "array"})
NESTED = LISTS | {"struct", "map"}
TEXTS = frozenset({"uuid", "date", "time", "timestamp", "timestamp with time zone"})
"""What JSON holds as text, and DuckDB would write in another form."""


def faithful_type(con: DuckDBPyConnection, guessed: str) -> str:
    """The type of a column in which every value reads as the file has it.

    DuckDB gives all objects of a list the keys of each other, with nulls; so within objects in lists,
    such as the messages of a chat, what is nested deeper is read as JSON.
    """
    found = con.sqltype(guessed)
    if found.id == "uuid":
        return "VARCHAR"
    return _listed(found) if found.id in LISTS else guessed


def _listed(type_: DuckDBType) -> str:
    item = dict(type_.children)["child"]
    if item.id in LISTS:
        return _listed(item) + "[]"
    if item.id != "struct":
        return _leaf(item) + "[]"
    fields = ", ".join(f"{identifier(name)} {_leaf(child)}" for name, child in item.children)
    return f"STRUCT({fields})[]"


def _leaf(type_: DuckDBType) -> str:
    if type_.id in NESTED:
        return "JSON"
    return "VARCHAR" if type_.id in TEXTS else str(type_)
