"""Postgres: a table as `COPY` writes it, in one read-only transaction and in a total order.

The connection string is a secret: it stands in no plan, no message and no name of a file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import JsonValue

from ftc.facts.cache import Cache
from ftc.facts.sandbox import identifier, quoted
from ftc.facts.sources.base import LARGEST_OBJECT, MEGABYTE, BadRow, Kind, Reading, Settled, SourceError
from ftc.facts.sources.csv_rejects import rejected_records
from ftc.facts.sources.pg_catalog import Table, find_table
from ftc.facts.sources.place import Entry, Found, NotFetched, Reach
from ftc.facts.sources.sql import file_list, stated, struct
from ftc.plan.steps import ColumnType, FileDigest, SourceStep
from ftc.recipe.rows import SourceFiles

if TYPE_CHECKING:
    import psycopg
    from duckdb import DuckDBPyConnection

Answer = TypeVar("Answer")

KEPT = "fetched"
ROWS = "rows.csv.zst"
ABOUT = "table.json"
PATIENCE = 15
"""Seconds to wait for a server, unless the connection string says otherwise."""

SETTINGS = (
    "timezone = 'UTC'",
    "datestyle = 'ISO, YMD'",
    "intervalstyle = 'iso_8601'",
    "bytea_output = 'hex'",
    "extra_float_digits = 3",
    "lc_monetary = 'C'",
    "client_encoding = 'UTF8'",
)
"""What decides how values are written, for the length of the transaction."""

QUOTE = quoted('"')
INSTALL = 'install what reads Postgres: pip install "ftc[postgres]"'


def find(entry: Entry, cache: Cache, reach: Reach) -> Found:
    """The table's columns and, where the command may fetch, its rows as they are now.

    Rows that are pinned and were fetched before are not asked for again. Raises SourceError, CacheProblem.
    """
    pin = entry.declared.sha256
    kept = cache.entry(KEPT, pin) if pin else None
    if kept is not None and pin is not None and (kept / ABOUT).is_file():
        about = json.loads((kept / ABOUT).read_text(encoding="utf-8"))
        if about["table"] == entry.declared.table:
            return _found(entry, about, pin, kept)
    secret = _secret(entry, reach)
    with _Connection(entry, secret) as connection:
        table = connection.table()
        if not reach.fetch:
            return _described(entry, table)
        return _fetched(entry, connection, table, cache, reach)


def _secret(entry: Entry, reach: Reach) -> str:
    assert entry.declared.database is not None  # noqa: S101 - the place was chosen by it
    variable = entry.declared.database.env
    secret = os.environ.get(variable, "")
    if secret:
        return secret
    message = f"the environment variable {variable} is not set, so the source `{entry.name}` cannot be "
    help_ = (f"set it: export {variable}='postgresql://USER:PASSWORD@HOST/DATABASE'",)
    if reach.fetch:
        raise SourceError(message + "read", help_, code="FTC222")
    raise NotFetched(message + "looked at", help_, code="FTC221")


def _location(entry: Entry) -> str:
    assert entry.declared.database is not None  # noqa: S101
    return f"${entry.declared.database.env} {entry.declared.table}"


def _about(entry: Entry, table: Table) -> dict[str, Any]:
    return {"table": entry.declared.table, "name": table.full_name, **asdict(table)}


def _options(columns: Sequence[dict[str, str]], order: Sequence[str]) -> dict[str, JsonValue]:
    types: dict[str, JsonValue] = {column["name"]: column["type"] for column in columns}
    return {"columns": types, "order": list(order)}


def _described(entry: Entry, table: Table) -> Found:
    about = _about(entry, table)
    options = {"table": table.full_name, **_options(about["columns"], table.order)}
    return Found(_location(entry), (), (), "postgres", (), options)


def _found(entry: Entry, about: dict[str, Any], digest: str, kept: Path) -> Found:
    name = str(about["name"])
    options = {"table": name, **_options(about["columns"], about["order"])}
    reason = "its primary key" if about["has_key"] else "the table has no primary key, so all its columns"
    files = (FileDigest(name=name, bytes=about["bytes"], sha256=digest),)
    return Found(_location(entry), (name,), (kept / ROWS,), "postgres", files, options, {"order": reason})


def _fetched(entry: Entry, connection: _Connection, table: Table, cache: Cache, reach: Reach) -> Found:
    """Keep the rows under the digest of what the server writes."""
    with cache.scratch() as scratch:
        directory = scratch / "table"
        directory.mkdir()

        def tell(size: int) -> None:
            reach.progress(f"fetching {entry.name} (MB)", size // MEGABYTE, None)

        digest, size = connection.copy(table, directory / ROWS, tell)
        about = {**_about(entry, table), "bytes": size}
        (directory / ABOUT).write_text(json.dumps(about), encoding="utf-8")
        kept = cache.entry(KEPT, digest) or cache.adopt(KEPT, digest, directory)
        return _found(entry, about, digest, kept)


class _Connection:
    """A read-only transaction that sees one state of the database; what fails in it is a SourceError."""

    def __init__(self, entry: Entry, secret: str) -> None:
        self._entry, self._secret = entry, secret
        self._words: tuple[str, ...] = (secret,)

    def __enter__(self) -> _Connection:
        try:
            import psycopg
        except ImportError:
            raise SourceError(
                f"the source `{self._entry.name}` needs a package that is not installed: psycopg",
                (INSTALL,),
                code="FTC222",
            ) from None
        options = self._parsed()
        try:
            self._con = psycopg.connect(self._secret, **options)
        except psycopg.Error as error:
            raise self._failure("the database cannot be reached", error) from None
        self._con.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        self._con.read_only = True
        return self

    def __exit__(self, *exception: object) -> None:
        self._con.close()

    def _parsed(self) -> dict[str, Any]:
        """What is added to the connection string; its passwords are remembered, to be kept out of words."""
        import psycopg

        try:
            parts = psycopg.conninfo.conninfo_to_dict(self._secret)
        except psycopg.Error:
            raise SourceError(
                f"the variable of the source `{self._entry.name}` holds no connection string",
                ("write it as postgresql://USER:PASSWORD@HOST/DATABASE",),
                code="FTC222",
            ) from None
        self._words += tuple(str(value) for key, value in parts.items() if "password" in key and value)
        patient = "connect_timeout" in parts
        return {} if patient else {"connect_timeout": PATIENCE}

    def _failure(self, what: str, error: psycopg.Error) -> SourceError:
        """A failure in the server's words, with no part of the secret among them."""
        words = " ".join(str(error).split())
        for word in self._words:
            words = words.replace(word, "…")
        variable = self._entry.declared.database.env if self._entry.declared.database else ""
        return SourceError(
            f"the source `{self._entry.name}` cannot be read: {what}",
            (f"look at {variable}, and at what its user may read",),
            notes=(words[:300],) if words else (),
            code="FTC222",
        )

    def _tried(self, what: str, work: Callable[[], Answer]) -> Answer:
        import psycopg

        try:
            return work()
        except psycopg.Error as error:
            raise self._failure(what, error) from None

    def table(self) -> Table:
        """The table that the recipe names. Raises SourceError."""
        settings = "; ".join(f"set local {setting}" for setting in SETTINGS)
        self._tried("a setting is refused", lambda: self._con.execute(settings.encode()))
        return self._tried(
            "its catalogue cannot be read",
            lambda: find_table(self._con, self._entry.name, str(self._entry.declared.table)),
        )

    def copy(self, table: Table, path: Path, tell: Callable[[int], None]) -> tuple[str, int]:
        """Write the rows to a file, compressed; the SHA-256 and the size of what the server sends."""
        sql = f"copy ({table.select}) to stdout with (format csv, header true, force_quote *)"
        return self._tried("the rows cannot be read", lambda: self._copied(sql, path, tell))

    def _copied(self, sql: str, path: Path, tell: Callable[[int], None]) -> tuple[str, int]:
        import pyarrow as pa

        digest, size = sha256(), 0
        with (
            pa.CompressedOutputStream(str(path), "zstd") as out,
            self._con.cursor() as cursor,
            cursor.copy(sql) as copy,
        ):
            held = bytearray()
            for block in copy:
                held += block
                if len(held) >= MEGABYTE:
                    digest.update(held)
                    out.write(bytes(held))
                    size += len(held)
                    held.clear()
                    tell(size)
            digest.update(held)
            out.write(bytes(held))
        return digest.hexdigest(), size + len(held)


class Postgres:
    """The rows as they were fetched; a value that DuckDB has no place for makes its row unreadable."""

    def settle(self, name: str, declared: SourceFiles, paths: Sequence[Path]) -> Settled:
        """What is open was settled with the database."""
        del name, declared, paths
        return Settled()

    def columns(
        self, con: DuckDBPyConnection, step: SourceStep, paths: Sequence[Path]
    ) -> tuple[ColumnType, ...]:
        """The columns as the catalogue has them."""
        del con, paths
        return tuple(ColumnType(name=name, type=type_) for name, type_ in stated(step).items())

    def read(self, reading: Reading) -> tuple[BadRow, ...]:
        """All rows, in the order of the key. Raises duckdb.Error and OSError."""
        import duckdb

        try:
            reading.fill(_table(reading))
        except duckdb.Error as error:
            reading.still_possible(error)
            reading.fill(_table(reading, ", store_rejects=true, rejects_limit=0"))
            bad = rejected_records(reading)
            if not bad:
                raise
            return bad
        return ()


KIND: Kind = Postgres()


def _table(reading: Reading, extra: str = "") -> str:
    """The SQL that reads what `COPY` wrote: all values in quotes, and nulls without."""
    written = [
        ColumnType(name=column.name, type="JSON" if column.type.endswith("[]") else column.type)
        for column in reading.columns
    ]
    names = [identifier(column.name) for column in reading.columns]
    typed = zip(names, reading.columns, strict=True)
    values = ", ".join(f"{name}::{column.type} as {name}" for name, column in typed)
    options = f"max_line_size={LARGEST_OBJECT}, buffer_size={2 * LARGEST_OBJECT}{extra}"
    return (
        f"(select {values} from read_csv({file_list(reading.paths)}, columns={struct(written)}, "  # noqa: S608
        f"auto_detect=false, header=true, delim=',', quote={QUOTE}, escape={QUOTE}, "
        f"nullstr='', allow_quoted_nulls=false, strict_mode=true, encoding='utf-8', "
        f"hive_partitioning=false, {options}))"
    )
