"""Run a recipe's SQL once, locked in and within limits, and leave its rows in a DuckDB file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.data.ingest import DATABASE
from ftc.facts import sql_tree
from ftc.facts.bounds import Endless, bounded
from ftc.facts.sandbox import connect, disk_full, is_full_disk, lock, quoted, threads_for_reading
from ftc.facts.sql_problems import Text, error_details, place_of, plain_words
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


def run_query(
    query: QueryStep, sources: Sequence[Path], directory: Path, *, key: Key = (), threads: int | None = None
) -> bool:
    """Make the table RAW of a query's rows in `directory`; returns whether it is in its final order.

    The rows of a traced query get their row number. `key` states the query where it is not one of those
    whose rows become examples; `threads` is for tests of what depends on their number. Raises QueryFailure
    and OSError.
    """
    con = connect(directory / FILE, threads=1)
    try:
        run = _Run(con, query, directory, key or query_key(query))
        return run.into_table(sources, threads)
    finally:
        con.close()


class _Run:
    def __init__(self, con: DuckDBPyConnection, query: QueryStep, directory: Path, key: Key) -> None:
        self._con, self._query, self._directory, self._key = con, query, directory, key

    def into_table(self, sources: Sequence[Path], threads: int | None) -> bool:
        import duckdb

        self._attach(sources)
        tree = sql_tree.parse(self._con, self._query.sql)
        sql, in_order, parallel = self._query.sql, False, False
        if self._query.traced_source is not None and tree is not None:
            parallel = sql_tree.runs_in_parallel(tree)
            in_order = parallel and not sql_tree.select_node(tree)["modifiers"]
            sql = sql_tree.unparse(self._con, sql_tree.with_row_numbers(tree))
        wanted = threads or (threads_for_reading() if parallel else 1)
        self._con.execute(f"set threads={wanted}")
        lock(self._con)
        try:
            bounded(self._con, lambda: self._create(sql), self._directory)
        except duckdb.Error as error:
            raise self._failure(error) from error
        except Endless as stopped:
            place = 0, len(self._query.sql)
            raise QueryFailure(str(stopped), self._key, place, endless=True) from stopped
        return in_order

    def _attach(self, sources: Sequence[Path]) -> None:
        """Let the query see the tables of the sources by their names alone."""
        names = [f'"ftc-source-{number}"' for number in range(len(sources))]
        for name, directory in zip(names, sources, strict=True):
            self._con.execute(f"attach {quoted(str(directory / DATABASE))} as {name} (read_only)")
        path = ",".join(f"{name}.main" for name in names)
        self._con.execute(f"set search_path={quoted(path)}")

    def _create(self, sql: str) -> None:
        self._con.execute(PREFIX + sql, self._query.parameters or None)

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
