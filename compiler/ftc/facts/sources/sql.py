"""Pieces of SQL by which DuckDB reads files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.facts.sandbox import quoted
from ftc.plan.steps import ColumnType, SourceStep

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def file_list(paths: Sequence[Path]) -> str:
    """The files as an SQL list; their names are names, not globs."""
    return "[" + ", ".join(quoted(_literal(str(path))) for path in paths) + "]"


def _literal(path: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in path)


def struct(columns: Sequence[ColumnType]) -> str:
    """Names and types as DuckDB's readers take them."""
    return "{" + ", ".join(f"{quoted(c.name)}: {quoted(c.type)}" for c in columns) + "}"


def described(con: DuckDBPyConnection, table: str) -> tuple[ColumnType, ...]:
    """The columns of a table expression. Raises duckdb.Error."""
    rows = con.execute(f"describe select * from {table}").fetchall()  # noqa: S608 - ftc's own SQL
    return tuple(ColumnType(name=row[0], type=row[1]) for row in rows)


def stated(step: SourceStep) -> Mapping[str, str]:
    """The columns whose types the recipe states; empty where it states none."""
    columns = step.options.get("columns")
    return {name: str(type_) for name, type_ in columns.items()} if isinstance(columns, dict) else {}
