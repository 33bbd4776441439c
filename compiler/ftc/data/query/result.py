"""The rows of a recipe's query in a total order, each with an id, read as often as needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.data.query.ingest import Ingested, SourceAccount
from ftc.data.query.order_of_rows import attach
from ftc.data.query.run_query import FILE, RAW, QueryFailure, query_key, run_query
from ftc.data.query.typed_values import Shape, converted, converter, shape_of
from ftc.facts import sql_tree
from ftc.facts.sandbox import (
    connect,
    disk_full,
    identifier,
    interruptible,
    is_full_disk,
    lock,
    threads_for_reading,
)
from ftc.facts.sql_problems import error_details, plain_words
from ftc.plan.steps import QueryStep

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

BATCH = 1024
"""Rows that are in memory together."""

MEMORY_FOR_READING = "200MB"
"""What DuckDB may keep of rows that are only read, in order: more is of no use, and stays to the end."""

SORTED = '"ftc-result".main."ftc rows"'
CONTENT = "to_json(r)::varchar"
ID, MD5, ROW = '"ftc id"', '"ftc md5"', identifier(sql_tree.ROW_COLUMN)
EXAMPLES = 20


@dataclass(frozen=True)
class KeyProblems:
    """What keeps the declared id column from identifying rows: how many rows, and the first of them."""

    nulls: int
    null_rows: tuple[str, ...]
    duplicates: int
    duplicate_rows: tuple[tuple[str, str], ...]


class Result:
    """A query's rows in a DuckDB file of their own, in a total order; use as a context manager.

    Where each row is a row of one source they stand in its order, else in that of their ids. The query has
    been described without problems; `ties` are places of its SQL where the data shows ties. Raises
    QueryFailure and OSError when opened.
    """

    def __init__(self, query: QueryStep, sources: Ingested, scratch: Path) -> None:
        self.query = query
        self._prefix = f"{query.name}/" if query.name else ""
        self._traced = next((a for a in sources.accounts if a.name == query.traced_source), None)
        scratch.mkdir()
        ran = run_query(query, sources.directories, scratch)
        self.ties = ran.ties
        self._con = connect(scratch / FILE, threads=threads_for_reading())
        try:
            attach(self._con, sources.directories)
            if ran.in_order:
                self._con.execute(f"set memory_limit='{MEMORY_FOR_READING}'")
            lock(self._con)
            self.shapes: dict[str, Shape | None] = {
                column.name: shape_of(self._con, column) for column in query.columns
            }
            self._table = RAW if ran.in_order else self._sorted()
        except BaseException:
            self._con.close()
            raise

    def __enter__(self) -> Result:
        return self

    def __exit__(self, *exception: object) -> None:
        self._con.close()

    @property
    def traced(self) -> SourceAccount | None:
        """The source whose rows the result's rows are."""
        return self._traced

    def _sorted(self) -> str:
        """Write the rows once more in their total order, with their ids where those are made of content."""
        made, order = "r.*", f"r.{ROW}"
        if self._traced is None:
            made, order = f"{self._content_id()} as {ID}, md5({CONTENT}) as {MD5}, r.*", "1, 2"
        self._execute(f"create table {SORTED} as select {made} from {RAW} r order by {order}")  # noqa: S608
        self._execute(f"drop table {RAW}")
        return SORTED

    def _content_id(self) -> str:
        key = self.query.id_column
        return f"coalesce(r.{identifier(key)}::varchar, md5({CONTENT}))" if key else f"md5({CONTENT})"

    def _execute(self, sql: str) -> None:
        import duckdb

        try:
            interruptible(self._con, lambda: self._con.execute(sql))
        except duckdb.Error as error:
            raise self._failure(error) from error

    def _failure(self, error: duckdb.Error) -> Exception:
        if is_full_disk(error):
            return disk_full()
        message = plain_words(str(error_details(error)["exception_message"]))
        return QueryFailure(message, query_key(self.query), (0, len(self.query.sql)))

    def _number(self, sql: str) -> int:
        return int(self._con.execute(sql).fetchall()[0][0])

    @property
    def count(self) -> int:
        """How many rows there are."""
        return self._number(f"select count(*) from {self._table}")  # noqa: S608

    def key_problems(self) -> KeyProblems | None:
        """What is wrong with the declared id column, if one is declared."""
        if self.query.id_column is None:
            return None
        rows, key = f"from {self._table} r", f"r.{identifier(self.query.id_column)}"
        place = f"r.{ROW}" if self._traced else f"r.{MD5}"
        nulls = self._number(f"select count(*) {rows} where {key} is null")
        several = f"select {key} {rows} where {key} is not null group by all having count(*) > 1"
        twice = f"{rows} where {key} in ({several})"
        if nulls == (duplicates := self._number(f"select count(*) {twice}")) == 0:
            return None
        null_rows = self._con.execute(
            f"select {place} {rows} where {key} is null order by 1 limit {EXAMPLES}"
        ).fetchall()
        duplicate_rows = self._con.execute(
            f"select {key}::varchar, {place} {twice} order by 1, 2 limit {EXAMPLES}"
        ).fetchall()
        return KeyProblems(
            nulls,
            tuple(self._shown(row[0]) for row in null_rows),
            duplicates,
            tuple((row[0], self._shown(row[1])) for row in duplicate_rows),
        )

    def _shown(self, place: Any) -> str:
        return self.row_id(int(place)) if self._traced else f"{self._prefix}{place}"

    def row_id(self, row: int) -> str:
        """The id of a source's row by DuckDB's row id (from 0)."""
        assert self._traced is not None  # noqa: S101 - only a traced query has row numbers
        return f"{self._prefix}{self._traced.name}:{self._traced.number(row)}"

    def column_values(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The rows in order with some of their columns alone."""
        for batch in self.columns(columns):
            lists = [
                converted(column.to_pylist(), converter(self.shapes.get(name)))
                for name, column in zip(columns, batch.columns, strict=True)
            ]
            yield from (dict(zip(columns, values, strict=True)) for values in zip(*lists, strict=True))

    def columns(self, columns: Sequence[str], *, rows: int = BATCH) -> Iterator[pa.RecordBatch]:
        """Some columns of the rows in order, so many rows at a time."""
        listed = ", ".join(identifier(column) for column in columns)
        yield from self._batches(f"select {listed} from {self._table}", rows)  # noqa: S608

    def computed(self, expressions: Sequence[str], *, rows: int = 1 << 16) -> Iterator[pa.RecordBatch]:
        """What expressions of ftc's own make of each row `r`, in order."""
        yield from self._batches(f"select {', '.join(expressions)} from {self._table} r", rows)  # noqa: S608

    def answers(self, expressions: str, rest: str) -> list[tuple[Any, ...]]:
        """What a question of ftc's own about the rows `r` is answered; for few rows."""
        found: list[tuple[Any, ...]] = self._con.execute(
            f"select {expressions} from {self._table} r {rest}"  # noqa: S608
        ).fetchall()
        return found

    @property
    def left_out(self) -> int:
        """How many of the traced source's rows the query left out."""
        return 0 if self._traced is None else self._traced.rows - len(self._traced.bad) - self.count

    def filtered(self) -> Iterator[str]:
        """The ids of the traced source's rows that the query left out, in order."""
        if self._traced is None:
            return
        expected = 0
        readable = self._traced.rows - len(self._traced.bad)
        for batch in self._batches(f"select {ROW} from {self._table} order by 1", 1 << 16):  # noqa: S608
            for kept in batch.column(0).to_pylist():
                yield from (self.row_id(number) for number in range(expected, kept))
                expected = kept + 1
        yield from (self.row_id(number) for number in range(expected, readable))

    def rows(self) -> Iterator[tuple[list[str], pa.RecordBatch]]:
        """Ids and columns of the rows in order, some at a time."""
        import pyarrow as pa

        names = [column.name for column in self.query.columns]
        for ids, columns in self._identified(names, BATCH):
            yield ids, pa.RecordBatch.from_arrays(columns, names)

    def ids(self) -> Iterator[list[str]]:
        """The ids of the rows in order, some at a time."""
        return (ids for ids, _ in self._identified((), 1 << 14))

    def _identified(self, names: Sequence[str], rows: int) -> Iterator[tuple[list[str], list[pa.Array]]]:
        key = self.query.id_column
        own = f"r.{identifier(key)}::varchar" if key else "null::varchar"
        listed = [ROW, own] if self._traced is not None else ["null", ID]
        listed += [f"r.{identifier(name)}" for name in names]
        before, repeated = "", 0
        for batch in self.computed(listed, rows=rows):
            ids = batch.column(1).to_pylist()
            if self._traced is not None:
                numbers = batch.column(0).to_pylist()
                ids = [
                    self.row_id(row) if id_ is None else f"{self._prefix}{id_}"
                    for id_, row in zip(ids, numbers, strict=True)
                ]
            elif self._prefix:
                ids = [f"{self._prefix}{id_}" for id_ in ids]
            shown = []
            for id_ in ids:
                repeated = repeated + 1 if id_ == before else 1
                before = id_
                shown.append(f"{id_}#{repeated}" if repeated > 1 else id_)
            yield shown, batch.columns[2:]

    def _batches(self, sql: str, rows: int) -> Iterator[Any]:
        import duckdb

        try:
            reader = interruptible(self._con, lambda: self._con.sql(sql).to_arrow_reader(rows))
            while (batch := interruptible(self._con, lambda: next(reader, None))) is not None:
                yield batch
        except duckdb.Error as error:
            raise self._failure(error) from error
