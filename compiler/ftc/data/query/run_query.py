"""Run a recipe's SQL once, locked in and within limits, and leave its rows in a DuckDB file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.data.query.order_of_rows import Determined, attach, determined
from ftc.facts import sql_tree
from ftc.facts.bounds import Endless, bounded
from ftc.facts.sandbox import connect, disk_full, is_full_disk, lock, threads_for_reading
from ftc.facts.sql_problems import SqlProblem, Text, error_details, place_of, plain_words
from ftc.plan.steps import QueryStep

if TYPE_CHECKING:
    import duckdb
    from duckdb import DuckDBPyConnection

FILE = "ftc-result.duckdb"
RAW = '"ftc-result".main."ftc raw"'
Key = tuple[str, ...]

PREFIX = f"create or replace table {RAW} as "


class QueryFailure(Exception):  # noqa: N818 - it names a finding
    """The query fails on some row: DuckDB's words, the recipe's key, and the characters of the SQL.

    `endless` tells that it did not fail but was stopped.
    """

    def __init__(self, message: str, key: Key, place: tuple[int, int], *, endless: bool = False) -> None:
        super().__init__(message)
        self.message, self.key, self.endless = message, key, endless
        self.start, self.end = place


def query_key(query: QueryStep) -> Key:
    """The key of the recipe that states a query."""
    return ("data", "mix", query.name, "query") if query.name else ("data", "query")


@dataclass(frozen=True)
class Ran:
    """Whether the rows are in their final order, and places of the SQL where the data shows ties."""

    in_order: bool
    ties: tuple[SqlProblem, ...] = ()


def run_query(
    query: QueryStep, sources: Sequence[Path], directory: Path, *, key: Key = (), threads: int | None = None
) -> Ran:
    """Make the table RAW of a query's rows in `directory`, those of a traced query with their row number.

    It is a view where the query does nothing: whoever reads it attaches the sources.
    It runs with several threads where its rows cannot depend on that; with `threads` of them, for a test of
    just this. `key` states the query where it is not one of those whose rows become examples. Raises
    QueryFailure and OSError.
    """
    con = connect(directory / FILE, threads=1)
    try:
        run = _Run(con, query, directory, key or query_key(query))
        return run.into_table(sources, threads)
    finally:
        con.close()


def _repeats(query: QueryStep) -> bool:
    """Whether two columns have one name, but for the case."""
    return len({column.name.casefold() for column in query.columns}) < len(query.columns)


class _Run:
    def __init__(self, con: DuckDBPyConnection, query: QueryStep, directory: Path, key: Key) -> None:
        self._con, self._query, self._directory, self._key = con, query, directory, key
        self._prefix = PREFIX

    def into_table(self, sources: Sequence[Path], threads: int | None) -> Ran:
        import duckdb

        attach(self._con, sources)
        tree = sql_tree.parse(self._con, self._query.sql)
        assert tree is not None  # noqa: S101 - it has been described
        sql, in_order, traced = self._query.sql, False, self._query.traced_source is not None
        each_alone = traced and sql_tree.runs_in_parallel(tree)
        if traced and threads is None and sql_tree.only_columns(tree) and not _repeats(self._query):
            self._prefix = f"create view {RAW} as "
        if traced:
            in_order = each_alone and not sql_tree.select_node(tree)["modifiers"]
            sql = sql_tree.unparse(self._con, sql_tree.with_row_numbers(tree))
        found = Determined(wholly=True) if each_alone else determined(self._query, tree, sources)
        wanted = threads or (threads_for_reading() if found.wholly else 1)
        self._con.execute(f"set threads={wanted}")
        lock(self._con)
        try:
            bounded(self._con, lambda: self._create(sql), self._directory)
        except duckdb.Error as error:
            raise self._failure(error) from error
        except Endless as stopped:
            place = 0, len(self._query.sql)
            raise QueryFailure(str(stopped), self._key, place, endless=True) from stopped
        return Ran(in_order, found.ties)

    def _create(self, sql: str) -> None:
        self._con.execute(self._prefix + sql, self._query.parameters or None)

    def _failure(self, error: duckdb.Error) -> Exception:
        """The failure at its place in the SQL as written, which is run for the purpose."""
        import duckdb

        if is_full_disk(error):
            return disk_full()
        text, place = Text(self._query.sql), (0, len(self._query.sql))
        try:
            bounded(self._con, lambda: self._create(self._query.sql), self._directory)
        except duckdb.Error as again:
            place = place_of(error_details(again), text, prefix=len(PREFIX))
        except Endless:
            pass
        message = plain_words(str(error_details(error)["exception_message"]))
        return QueryFailure(message, self._key, place)
