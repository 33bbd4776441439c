"""Whether a query's rows are determined by what it says, as far as its shape and the data tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.data.query.ingest import DATABASE
from ftc.facts import sql_parameters, sql_tree
from ftc.facts.bounds import Endless, bounded
from ftc.facts.query import known_functions
from ftc.facts.sandbox import connect, identifier, lock, quoted, threads_for_reading
from ftc.facts.sql_problems import SourceNames, SqlProblem, Text
from ftc.facts.sql_stability import Unstable, instabilities
from ftc.facts.sql_ties import tie_question
from ftc.plan.steps import ColumnType, QueryStep

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ASKED_SECONDS = 20.0
"""How long one question about ties may take; without an answer they are held to be there."""


@dataclass(frozen=True)
class Determined:
    """Whether the rows are the same however DuckDB runs the query, and places where the data shows ties."""

    wholly: bool
    ties: tuple[SqlProblem, ...] = ()


def determined(query: QueryStep, tree: sql_tree.Node, sources: Sequence[Path]) -> Determined:
    """Look at a query that binds; the questions about ties are asked of the sources."""
    con = connect(threads=threads_for_reading())
    try:
        attach(con, sources)
        names = SourceNames(_columns(con), known_functions(con), parameters=query.parameters)
        found = instabilities(
            con,
            tree,
            Text(query.sql),
            names,
            traced=query.traced_source is not None,
            unique=query.id_column,
        )
        if not found:
            return Determined(wholly=True)
        lock(con)
        ties = tuple(one.problem for one in found if one.tie is not None and _ties(con, tree, one, query))
        return Determined(wholly=not ties and all(one.tie is not None for one in found), ties=ties)
    finally:
        con.close()


def attach(con: DuckDBPyConnection, sources: Sequence[Path]) -> None:
    """Let a query see the tables of the sources by their names alone."""
    names = [f'"ftc-source-{number}"' for number in range(len(sources))]
    for name, directory in zip(names, sources, strict=True):
        con.execute(f"attach {quoted(str(directory / DATABASE))} as {name} (read_only)")
    path = ",".join(f"{name}.main" for name in names)
    con.execute(f"set search_path={quoted(path)}")


def _columns(con: DuckDBPyConnection) -> dict[str, tuple[ColumnType, ...]]:
    tables = con.execute(
        "select database_name, table_name from duckdb_tables() where database_name like 'ftc-source-%'"
    ).fetchall()
    return {
        table: tuple(
            ColumnType(name=row[0], type=row[1])
            for row in con.execute(f"describe {identifier(database)}.main.{identifier(table)}").fetchall()
        )
        for database, table in tables
    }


def _ties(con: DuckDBPyConnection, tree: sql_tree.Node, one: Unstable, query: QueryStep) -> bool:
    import duckdb

    assert one.tie is not None  # noqa: S101 - asked for
    try:
        sql = tie_question(con, tree, one.tie)
        values = sql_parameters.bound(con, sql, query.parameters)
        rows = bounded(con, lambda: con.execute(sql, values or None).fetchall(), seconds=ASKED_SECONDS)
    except (duckdb.Error, Endless):
        return True
    return bool(rows)
