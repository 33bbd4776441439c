"""Where a row came from: its row of the query's result, its row of the source, its line of a file.

The query runs once more for it, restricted to the row; nothing of a row is kept for this in the cache.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.data.kept.lookup import PIECE
from ftc.data.query.ingest import DATABASE, Ingested, SourceAccount
from ftc.data.query.result import Result
from ftc.data.query.typed_values import converted, converter, shape_of
from ftc.facts import sql_tree
from ftc.facts.sandbox import connect, identifier, quoted
from ftc.facts.sources.base import BadRow
from ftc.facts.sources.packed import open_bytes
from ftc.plan.steps import ColumnType, QueryStep

if TYPE_CHECKING:
    from ftc.data.compile import Locations, Request

LONGEST_LINE = 1 << 16
"""Bytes of an unreadable line that are shown."""

LINES = ("jsonl", "csv", "text")
"""Formats whose unreadable rows stand on a line of a file."""


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row of a source: its number (from 1) where it has one; its values, or its text if it has none."""

    source: str
    number: int | None
    values: dict[str, Any] | None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """What a row was before it was compiled.

    `id` is the row's own, without the number of a piece; `query` names the query that gave it (empty where
    there is only one, or none gave it). `values` is the query's row, None where it has none; `source` the
    row of the source where the query's rows are those of one.
    """

    id: str
    query: str
    values: dict[str, Any] | None
    source: SourceRow | None


class Origins:
    """Looks rows up in the sources and queries of a request; `scratch` takes what that needs of the disk."""

    def __init__(self, request: Request, locations: Locations, sources: Ingested, scratch: Path) -> None:
        self._request, self._locations, self._sources = request, locations, sources
        self._scratch, self._number = scratch, count()

    def find(self, id_: str) -> Origin | None:
        """What an id stands for, of a whole row or of a piece of one; None where no row has it.

        Raises QueryFailure and OSError.
        """
        for own in _own_ids(id_):
            found = self._unreadable(own) or next(self._of_queries(own), None)
            if found is not None:
                return found
        return None

    def _unreadable(self, id_: str) -> Origin | None:
        for account in self._sources.accounts:
            for bad in account.bad:
                if bad.place == id_:
                    return Origin(id_, "", None, self._bad_row(account, bad))
        return None

    def _bad_row(self, account: SourceAccount, bad: BadRow) -> SourceRow:
        (step,) = (source for source in self._request.sources if source.name == account.name)
        name, _, line = bad.place.rpartition(":")
        paths = {
            file.name: path
            for file, path in zip(step.files, self._locations.sources[step.name], strict=False)
        }
        readable = step.format in LINES and line.isdecimal() and name in paths
        text = _line(paths[name], int(line)) if readable else None
        return SourceRow(account.name, bad.number, None, text)

    def _of_queries(self, id_: str) -> Iterator[Origin]:
        for query in self._request.queries:
            prefix = f"{query.name}/" if query.name else ""
            if id_.startswith(prefix):
                found = self._of_query(query, id_.removeprefix(prefix))
                if found is not None:
                    values, source = found
                    yield Origin(id_, query.name, values, source)

    def _of_query(self, query: QueryStep, id_: str) -> tuple[dict[str, Any] | None, SourceRow | None] | None:
        traced = next((a for a in self._sources.accounts if a.name == query.traced_source), None)
        if traced is None:
            values = self._query_row(query, _known_by(query, id_))
            return None if values is None else (values, None)
        row = self._row_of_key(query, id_) if query.id_column is not None else None
        row = _row_of(traced, id_) if row is None else row
        if row is None:
            return None
        source = SourceRow(traced.name, traced.number(row), self._source_row(traced.name, row))
        return self._query_row(query, f"r.{identifier(sql_tree.ROW_COLUMN)} = {row}"), source

    def _row_of_key(self, query: QueryStep, id_: str) -> int | None:
        """The number of the source's row of which a traced query makes the row with some key."""
        assert query.id_column is not None  # noqa: S101 - the caller has looked
        key = f"r.{identifier(query.id_column)}::varchar = {quoted(id_)}"
        column = ColumnType(name=sql_tree.ROW_COLUMN, type="BIGINT")
        found = self._first(query, (column,), key)
        return int(found[column.name]) if found else None

    def _query_row(self, query: QueryStep, condition: str) -> dict[str, Any] | None:
        return self._first(query, query.columns, condition)

    def _first(
        self, query: QueryStep, columns: Sequence[ColumnType], condition: str
    ) -> dict[str, Any] | None:
        """Some columns of the first of a query's rows `r` for which a condition holds."""
        names = [column.name for column in columns]
        listed = ", ".join(f"r.{identifier(name)}" for name in names)
        sql = f"select {listed} from ({_numbered(query)}) r where {condition}"  # noqa: S608
        update = {"sql": sql, "columns": tuple(columns), "id_column": None, "traced_source": None}
        asked = query.model_copy(update=update)
        with Result(asked, self._sources, self._scratch / f"origin-{next(self._number)}") as result:
            return next(result.column_values(names), None)

    def _source_row(self, name: str, row: int) -> dict[str, Any]:
        directory = self._sources.directories[[a.name for a in self._sources.accounts].index(name)]
        con = connect()
        try:
            con.execute(f"attach {quoted(str(directory / DATABASE))} as kept (read_only)")
            table = f"kept.main.{identifier(name)}"
            described = con.execute(f"describe {table}").fetchall()
            columns = [ColumnType(name=column[0], type=column[1]) for column in described]
            found = con.sql(f"select * from {table} where rowid = {row}").to_arrow_table()  # noqa: S608
            values = (
                converted(column.to_pylist(), converter(shape_of(con, step)))
                for step, column in zip(columns, found.columns, strict=True)
            )
            return {step.name: value[0] for step, value in zip(columns, values, strict=True)}
        finally:
            con.close()


def _own_ids(id_: str) -> Iterator[str]:
    """The ids that the row of an id may have: itself, and without the numbers of its pieces."""
    yield id_
    for places in (1, 2):
        parts = id_.rsplit("/", places)
        if len(parts) == places + 1 and PIECE.fullmatch(id_, len(parts[0])):
            yield parts[0]


def _row_of(account: SourceAccount, id_: str) -> int | None:
    """DuckDB's row id (from 0) of `SOURCE:NUMBER`; None where that is no readable row."""
    name, _, number = id_.rpartition(":")
    if name != account.name or not number.isdecimal():
        return None
    bad = sorted(row.number for row in account.bad if row.number is not None)
    place = int(number)
    row = place - 1 - bisect_left(bad, place)
    there = place >= 1 and row < account.rows - len(account.bad) and place not in bad
    return row if there else None


def _known_by(query: QueryStep, id_: str) -> str:
    """The condition for the row of an untraced query that has an id; `#2` tells equal rows apart."""
    content, _, repeated = id_.rpartition("#")
    ids = [id_, content] if repeated.isdecimal() and content else [id_]
    listed = ", ".join(map(quoted, ids))
    known = f"md5(to_json(r)::varchar) in ({listed})"
    if query.id_column is None:
        return known
    return f"coalesce(r.{identifier(query.id_column)}::varchar, md5(to_json(r)::varchar)) in ({listed})"


def _numbered(query: QueryStep) -> str:
    """The SQL of a query, with the number of the source's row where it is traced."""
    if query.traced_source is None:
        return query.sql
    con = connect()
    try:
        tree = sql_tree.parse(con, query.sql)
        assert tree is not None  # noqa: S101 - the query has been described
        return sql_tree.unparse(con, sql_tree.with_row_numbers(tree)).rstrip("; ")
    finally:
        con.close()


def _line(path: Path, number: int) -> str:
    """A line of a file as text, what is not UTF-8 in it escaped. Raises OSError."""
    with open_bytes(path) as file:
        found = next(islice(file, number - 1, None), b"")[:LONGEST_LINE]
    return found.rstrip(b"\r\n").decode("utf-8", "backslashreplace")
