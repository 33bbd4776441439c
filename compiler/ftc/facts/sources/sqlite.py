"""SQLite: a table or view through the standard library, read only, typed by the values that it holds."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from ftc.facts.arrow_arrays import binaries, doubles, integers
from ftc.facts.sandbox import identifier, quoted
from ftc.facts.sources.base import (
    BATCH,
    SAMPLE,
    BadRow,
    Kind,
    Reading,
    Settled,
    SourceError,
    UnreadableSource,
)
from ftc.plan.steps import ColumnType, SourceStep
from ftc.recipe.rows import SourceFiles
from ftc.recipe.suggest import did_you_mean, listed

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

HEADER = b"SQLite format 3\0"
JOURNAL = "-wal"
"""Behind a database's name: the file of what was written and is not yet in the database itself."""

DECLARED = (
    ("INT", "BIGINT"),
    ("CHAR", "VARCHAR"),
    ("CLOB", "VARCHAR"),
    ("TEXT", "VARCHAR"),
    ("BLOB", "BLOB"),
)
REAL = ("REAL", "FLOA", "DOUB")
"""Parts of a declared type that say what it is (https://sqlite.org/datatype3.html, section 3.1)."""

TABLES = """
select name from sqlite_schema
where type in ('table', 'view') and name not like 'sqlite\\_%' escape '\\' order by name
"""

BINARY = 1
"""Stands for binary data in a column of text: both would come out as bytes."""

Row = tuple[Any, ...]


class Sqlite:
    """The rows are in the order of their rowid or primary key, those of a view in that of all columns.

    SQLite types values, not columns: whole numbers are BIGINT, with fractions among them DOUBLE, and
    text is VARCHAR, also where numbers stand beside it, which are then written as SQLite writes them.
    """

    def settle(self, name: str, declared: SourceFiles, paths: Sequence[Path]) -> Settled:
        """The table, where there is but one. Raises SourceError and OSError."""
        _refuse_several(name, paths)
        tables = table_names(name, paths[0])
        options: dict[str, JsonValue] = {"table": _table(name, declared.table, tables)}
        return Settled(options, {} if declared.table else {"table": "the database has no other table"})

    def columns(
        self, con: DuckDBPyConnection, step: SourceStep, paths: Sequence[Path]
    ) -> tuple[ColumnType, ...]:
        """Names as declared, types as the first rows have them. Raises SourceError."""
        del con
        with _opened(step.name, paths[0]) as db:
            declared = _declared(db, str(step.options["table"]))
            kinds = _kinds(db, step, list(declared))
        columns = []
        for name, type_ in declared.items():
            found = _type(kinds[name]) if kinds[name] else _affinity(type_)
            if found is None:
                held = ", ".join(sorted(kinds[name]))
                message = (
                    f"the column `{name}` of the source `{step.name}` holds values of several kinds: {held}"
                )
                raise SourceError(message, ("make a view in which it is cast, and name that as the table",))
            columns.append(ColumnType(name=name, type=found))
        return tuple(columns)

    def read(self, reading: Reading) -> tuple[BadRow, ...]:
        """All rows whose values fit the columns. Raises UnreadableSource, OSError and duckdb.Error."""
        import pyarrow as pa

        schema = pa.schema([(column.name, VALUES[column.type].make([]).type) for column in reading.columns])
        bad: list[BadRow] = []
        try:
            with _opened(reading.step.name, reading.paths[0]) as db:
                reading.stream(schema, _batches(reading, db, schema, bad))
        except SourceError as error:
            raise UnreadableSource(reading.step.name, error.message) from error
        return tuple(bad)


KIND: Kind = Sqlite()


def _refuse_several(name: str, paths: Sequence[Path]) -> None:
    if len([path for path in paths if not path.name.endswith(JOURNAL)]) > 1:
        message = f"the source `{name}` names {len(paths)} databases"
        raise SourceError(message, ("declare a source for each, and join them in the query",), code="FTC201")


def journal(path: Path) -> str:
    """What stands behind a database's name in that of its journal, where that is not empty."""
    beside = path.with_name(path.name + JOURNAL)
    return JOURNAL if beside.is_file() and beside.stat().st_size else ""


@contextmanager
def _opened(name: str, path: Path) -> Iterator[sqlite3.Connection]:
    """The database, which nothing is written to. Raises SourceError."""
    with path.open("rb") as file:
        if file.read(len(HEADER)) != HEADER:
            message = f"{path.name} of the source `{name}` is no SQLite database"
            raise SourceError(message, ("name one that is, or say what it is: format = …",))
    settled = "" if journal(path) else "&immutable=1"
    con = None
    try:
        con = sqlite3.connect(
            path.absolute().as_uri() + f"?mode=ro{settled}", uri=True, check_same_thread=False
        )
        con.text_factory = bytes
        con.execute("pragma query_only=on")
        yield con
    except sqlite3.Error as error:
        raise SourceError(
            f"the database {path.name} of the source `{name}` cannot be read: {error}"
        ) from error
    finally:
        if con is not None:
            con.close()


def _texts(con: sqlite3.Connection, sql: str) -> list[list[str]]:
    return [[str(value, "utf-8") for value in row] for row in con.execute(sql)]


def table_names(source: str, path: Path) -> list[str]:
    """The tables and views of a database. Raises SourceError and OSError."""
    with _opened(source, path) as con:
        return [row[0] for row in _texts(con, TABLES)]


def _table(source: str, wanted: str | None, tables: Sequence[str]) -> str:
    if wanted is None and len(tables) == 1:
        return tables[0]
    if not tables:
        raise SourceError(f"the database of the source `{source}` has no table")
    if wanted is None:
        raise SourceError(
            f"the database of the source `{source}` has several tables: {listed(tables)}",
            (f'say which: {source} = {{ path = "…", table = "{tables[0]}" }}',),
            code="FTC106",
        )
    exact = next((table for table in tables if table.casefold() == wanted.casefold()), None)
    if exact is None:
        message = f"the database of the source `{source}` has no table `{wanted}`"
        notes = (f"its tables are {listed(tables)}",)
        raise SourceError(message, did_you_mean(wanted, tables), notes=notes, code="FTC201", key="table")
    return exact


def _declared(con: sqlite3.Connection, table: str) -> dict[str, str]:
    """The columns in order with their declared types, which may be empty."""
    sql = f"select name, type from pragma_table_xinfo({quoted(table)}) where hidden != 1"  # noqa: S608
    rows = con.execute(sql)
    return {str(name, "utf-8"): str(type_ or b"", "utf-8").upper() for name, type_ in rows}


def _kinds(con: sqlite3.Connection, step: SourceStep, names: Sequence[str]) -> dict[str, set[str]]:
    """The kinds of values in the first rows, by column; nulls do not count."""
    table = identifier(str(step.options["table"]))
    found: dict[str, set[str]] = {}
    for name in names:
        sql = f"select distinct typeof(v) from (select {identifier(name)} as v from {table} limit {SAMPLE})"  # noqa: S608
        found[name] = {row[0] for row in _texts(con, sql)} - {"null"}
    return found


def _type(kinds: set[str]) -> str | None:
    """The DuckDB type of a column that holds values of these kinds; None where none fits."""
    if "text" in kinds and "blob" not in kinds:
        return "VARCHAR"
    single = {"integer": "BIGINT", "real": "DOUBLE", "blob": "BLOB"}
    if len(kinds) == 1:
        return single[next(iter(kinds))]
    return "DOUBLE" if kinds == {"integer", "real"} else None


def _affinity(declared: str) -> str:
    """What a column without a value would hold by its declared type."""
    found = next((type_ for part, type_ in DECLARED if part in declared), None)
    return found or ("DOUBLE" if any(part in declared for part in REAL) else "VARCHAR")


def _select(con: sqlite3.Connection, reading: Reading) -> str:
    """The rows in their order; a column of text is cast, so that numbers in it are written as SQLite does."""
    table = str(reading.step.options["table"])
    values = ", ".join(
        f"case typeof({name}) when 'blob' then {BINARY} else cast({name} as text) end"
        if column.type == "VARCHAR"
        else name
        for column in reading.columns
        for name in [identifier(column.name)]
    )
    return f"select {values} from {identifier(table)} order by {_order(con, table)}"  # noqa: S608


def _order(con: sqlite3.Connection, table: str) -> str:
    """What orders the rows: the primary key where it is the table itself, rowid, or all columns of a view."""
    rows = con.execute(
        f"select type, wr from pragma_table_list where schema = 'main' and name = {quoted(table)}"  # noqa: S608
    ).fetchall()
    if rows and rows[0][0] == b"view":
        return ", ".join(str(number) for number in range(1, len(_declared(con, table)) + 1))
    if rows and rows[0][1]:
        keys = con.execute(f"select name from pragma_table_xinfo({quoted(table)}) where pk > 0 order by pk")  # noqa: S608
        return ", ".join(identifier(str(name, "utf-8")) for (name,) in keys)
    taken = {name.casefold() for name in _declared(con, table)}
    return next((name for name in ("rowid", "_rowid_", "oid") if name not in taken), "1")


def _utf8(values: Sequence[bytes | None]) -> pa.Array:
    import pyarrow as pa

    return binaries(values).cast(pa.string())


@dataclass(frozen=True)
class _Values:
    """The values of a DuckDB type: what they are in Python, how Arrow takes them, and how they are called."""

    takes: tuple[type, ...]
    make: Callable[[Sequence[Any]], pa.Array]
    called: str


VALUES: dict[str, _Values] = {
    "BIGINT": _Values((int,), integers, "a whole number"),
    "DOUBLE": _Values((int, float), doubles, "a number"),
    "VARCHAR": _Values((bytes,), _utf8, "text"),
    "BLOB": _Values((bytes,), binaries, "binary data"),
}


def _batches(
    reading: Reading, con: sqlite3.Connection, schema: pa.Schema, bad: list[BadRow]
) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    number = 0
    try:
        cursor = con.execute(_select(con, reading))
        while rows := cursor.fetchmany(BATCH):
            columns = _columns(rows, reading.columns)
            if columns is None:
                fitting = [row for at, row in enumerate(rows, number + 1) if _fits(reading, row, at, bad)]
                columns = _columns(fitting, reading.columns)
            number += len(rows)
            if columns:
                yield pa.RecordBatch.from_arrays(columns, schema=schema)
    except sqlite3.Error as error:
        raise UnreadableSource(reading.step.name, f"{reading.names[0]}: {error}") from error


def _columns(rows: Sequence[Row], columns: Sequence[ColumnType]) -> list[pa.Array] | None:
    """The Arrow columns of some rows; None where a value does not fit, or there is no row."""
    import pyarrow as pa

    try:
        lists = zip(*rows, strict=True)
        return [VALUES[column.type].make(values) for column, values in zip(columns, lists, strict=True)]
    except (TypeError, ValueError, pa.ArrowInvalid):
        return None


def _fits(reading: Reading, row: Row, number: int, bad: list[BadRow]) -> bool:
    """Whether every value of a row fits its column; if not, the row goes to the account."""
    place = f"{reading.names[0]}:{reading.step.options['table']}:{number}"
    for column, value in zip(reading.columns, row, strict=True):
        values = VALUES[column.type]
        if value is None:
            continue
        if not isinstance(value, values.takes):
            reason = f"`{column.name}` holds {_called(value)}, not {values.called}"
            bad.append(BadRow(number, place, "FTC210", reason))
            return False
        if column.type == "VARCHAR" and isinstance(value, bytes) and not _is_utf8(value):
            bad.append(BadRow(number, place, "FTC211", f"`{column.name}` is not UTF-8"))
            return False
    return True


def _called(value: object) -> str:
    if isinstance(value, bytes):
        return f"{value[:40].decode('utf-8', 'replace')!r}"
    return "binary data" if value == BINARY else str(value)


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
