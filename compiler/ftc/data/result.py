"""Run the recipe's query over the read sources: its rows in a total order, each with an id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.data.ingest import DATABASE, SourceAccount, disk_full, is_full_disk
from ftc.data.typed_values import Shape, converted, converter, shape_of
from ftc.facts import sql_tree
from ftc.facts.sandbox import connect, identifier, interruptible, lock, quoted, threads_for_reading
from ftc.facts.sql_problems import Text, error_details, place_of, plain_words
from ftc.plan.steps import QueryStep

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

BATCH = 1024
"""Rows that are in memory together."""

RESULT = '"ftc-result".main."ftc rows"'
PREFIX = f"create or replace table {RESULT} as "
CONTENT_ID = "md5(to_json(r)::varchar)"
EXAMPLES = 20


class QueryFailure(Exception):  # noqa: N818 - it names a finding
    """The query fails on some row: DuckDB's words, and the characters of the SQL."""

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.message, self.start, self.end = message, start, end


@dataclass(frozen=True)
class KeyProblems:
    """What keeps the declared id column from identifying rows: how many rows, and the first of them."""

    nulls: int
    null_rows: tuple[str, ...]
    duplicates: int
    duplicate_rows: tuple[tuple[str, str], ...]


class Result:
    """The query's rows in a DuckDB file of their own; use as a context manager.

    The query has been described without problems. Raises QueryFailure and OSError when opened.
    """

    def __init__(
        self, query: QueryStep, sources: Path, accounts: Sequence[SourceAccount], scratch: Path
    ) -> None:
        self.query = query
        self._traced = next((a for a in accounts if a.name == query.traced_source), None)
        scratch.mkdir()
        self._con = connect(scratch / "ftc-result.duckdb", threads=1)
        try:
            self.shapes: dict[str, Shape | None] = {
                column.name: shape_of(self._con, column) for column in query.columns
            }
            self._in_order = self._run(sources / DATABASE)
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

    def _run(self, sources: Path) -> bool:
        """Make the table of rows; returns whether it is in its final order already."""
        import duckdb

        self._con.execute(f'attach {quoted(str(sources))} as "ftc-sources" (read_only)')
        self._con.execute('use "ftc-sources"')
        tree = sql_tree.parse(self._con, self.query.sql)
        sql, in_order, parallel = self.query.sql, False, False
        if self._traced is not None and tree is not None:
            parallel = sql_tree.runs_in_parallel(tree)
            in_order = parallel and not sql_tree.select_node(tree)["modifiers"]
            sql = sql_tree.unparse(self._con, sql_tree.with_row_numbers(tree))
        if parallel:
            self._con.execute(f"set threads={threads_for_reading()}")
        lock(self._con)
        try:
            interruptible(self._con, lambda: self._con.execute(PREFIX + sql))
        except duckdb.Error as error:
            raise self._failure(error) from error
        return in_order

    def _failure(self, error: duckdb.Error) -> Exception:
        """The failure at its place in the SQL as written, which is run for the purpose."""
        import duckdb

        details = error_details(error)
        if is_full_disk(error):
            return disk_full()
        text = Text(self.query.sql)
        try:
            self._con.execute(PREFIX + self.query.sql)
        except duckdb.Error as again:
            start, end = place_of(error_details(again), text, prefix=len(PREFIX))
        else:
            start, end = 0, len(self.query.sql)
        return QueryFailure(plain_words(str(details["exception_message"])), start, end)

    def _number(self, sql: str) -> int:
        return int(self._con.execute(sql).fetchall()[0][0])

    @property
    def count(self) -> int:
        """How many rows there are."""
        return self._number(f"select count(*) from {RESULT}")  # noqa: S608

    def key_problems(self) -> KeyProblems | None:
        """What is wrong with the declared id column, if one is declared."""
        if self.query.id_column is None:
            return None
        key = f"r.{identifier(self.query.id_column)}"
        place = self._place()
        nulls = self._number(f"select count(*) from {RESULT} r where {key} is null")  # noqa: S608
        several = f"select {key} from {RESULT} r where {key} is not null group by all having count(*) > 1"  # noqa: S608
        twice = f"from {RESULT} r where {key} in ({several})"
        if nulls == (duplicates := self._number(f"select count(*) {twice}")) == 0:
            return None
        null_rows = self._con.execute(
            f"select {place} from {RESULT} r where {key} is null order by 1 limit {EXAMPLES}"  # noqa: S608
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

    def _place(self) -> str:
        return f"r.{identifier(sql_tree.ROW_COLUMN)}" if self._traced else CONTENT_ID

    def _shown(self, place: Any) -> str:
        return self.row_id(int(place)) if self._traced else str(place)

    def row_id(self, row: int) -> str:
        """The id of a source's row by DuckDB's row id (from 0)."""
        assert self._traced is not None  # noqa: S101 - only a traced query has row numbers
        return f"{self._traced.name}:{self._traced.number(row)}"

    def column_values(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The rows with some of their columns alone, in no particular order."""
        listed = ", ".join(identifier(column) for column in columns)
        for batch in self._batches(f"select {listed} from {RESULT}"):  # noqa: S608
            lists = self._lists(columns, batch.columns)
            yield from (dict(zip(columns, values, strict=True)) for values in zip(*lists, strict=True))

    def _lists(self, names: Sequence[str], columns: Sequence[Any]) -> list[list[Any]]:
        """Arrow columns as lists of the values that DuckDB's types mean."""
        return [
            converted(column.to_pylist(), converter(self.shapes.get(name)))
            for name, column in zip(names, columns, strict=True)
        ]

    def filtered(self) -> Iterator[str]:
        """The ids of the traced source's rows that the query left out, in order."""
        if self._traced is None:
            return
        expected, row = 0, sql_tree.ROW_COLUMN
        readable = self._traced.rows - len(self._traced.bad)
        for batch in self._batches(f"select {identifier(row)} from {RESULT} order by 1"):  # noqa: S608
            for kept in batch.column(0).to_pylist():
                yield from (self.row_id(number) for number in range(expected, kept))
                expected = kept + 1
        yield from (self.row_id(number) for number in range(expected, readable))

    def rows(self) -> Iterator[tuple[list[str], pa.RecordBatch]]:
        """Ids and columns in total order, some rows at a time: by source row where traced, else by id."""
        key = self.query.id_column
        own = [f"r.{identifier(key)}::varchar"] if key else []
        if self._traced is not None:
            order = "" if self._in_order else f" order by r.{identifier(sql_tree.ROW_COLUMN)}"
            id_ = own[0] if own else "null::varchar"
        else:
            order, id_ = " order by 1, 2", f"coalesce({', '.join([*own, CONTENT_ID])})"
        sql = f'select {id_} as "ftc id", {CONTENT_ID if not self._traced else "null"} as "ftc md5", r.* '
        yield from self._identified(sql + f"from {RESULT} r{order}")

    def _identified(self, sql: str) -> Iterator[tuple[list[str], pa.RecordBatch]]:
        import pyarrow as pa

        names = [column.name for column in self.query.columns]
        before, repeated = "", 0
        for batch in self._batches(sql):
            ids = batch.column(0).to_pylist()
            if self._traced is not None:
                numbers = batch.columns[-1].to_pylist()
                ids = [id_ or self.row_id(row) for id_, row in zip(ids, numbers, strict=True)]
            shown = []
            for id_ in ids:
                repeated = repeated + 1 if id_ == before else 1
                before = id_
                shown.append(f"{id_}#{repeated}" if repeated > 1 else id_)
            yield shown, pa.RecordBatch.from_arrays(batch.columns[2 : 2 + len(names)], names)

    def _batches(self, sql: str) -> Iterator[Any]:
        import duckdb

        try:
            reader = interruptible(self._con, lambda: self._con.sql(sql).to_arrow_reader(BATCH))
            while (batch := interruptible(self._con, lambda: next(reader, None))) is not None:
                yield batch
        except duckdb.Error as error:
            if is_full_disk(error):
                raise disk_full() from error
            message = plain_words(str(error_details(error)["exception_message"]))
            raise QueryFailure(message, 0, len(self.query.sql)) from error
