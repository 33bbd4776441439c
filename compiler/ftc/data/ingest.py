"""Read every source once into a DuckDB file, in file order, and account for rows that cannot be read."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.data.bad_lines import BadLines, BadRow, duckdb_reason
from ftc.facts.readers import SourceError, reader, source_columns
from ftc.facts.sandbox import connect, identifier, threads_for_reading
from ftc.facts.sql_problems import error_details
from ftc.plan.steps import ColumnType, SourceStep

if TYPE_CHECKING:
    import duckdb
    from duckdb import DuckDBPyConnection

DATABASE = "sources.duckdb"
ACCOUNT = "account.json"


class UnreadableSource(Exception):  # noqa: N818 - it names a finding
    """A source of which nothing can be read: its name and the reason."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(reason)
        self.source, self.reason = source, reason


@dataclass(frozen=True)
class SourceAccount:
    """How many rows a source has, the unreadable ones included, and which those are."""

    name: str
    rows: int
    bad: tuple[BadRow, ...]

    @cached_property
    def _skipped(self) -> list[int]:
        """Row ids (from 0, over the readable rows) before which unreadable rows stand."""
        numbers = [bad.number for bad in self.bad if bad.number is not None]
        return [number - 1 - before for before, number in enumerate(numbers)]

    def number(self, row: int) -> int:
        """The number (from 1, unreadable rows counted where their number is known) of DuckDB's row id."""
        return row + 1 + bisect_right(self._skipped, row)


def ingest(
    sources: Sequence[SourceStep], paths: Mapping[str, tuple[Path, ...]], directory: Path
) -> tuple[SourceAccount, ...]:
    """Fill `directory` with the sources' rows and the account; raises UnreadableSource and OSError."""
    con = connect(directory / DATABASE, threads=threads_for_reading())
    try:
        accounts = tuple(_Reading(con, step, paths[step.name], directory).account() for step in sources)
    finally:
        con.close()
    value = [asdict(account) for account in accounts]
    (directory / ACCOUNT).write_text(json.dumps(value), encoding="utf-8")
    return accounts


def read_accounts(directory: Path) -> tuple[SourceAccount, ...]:
    """The account that `ingest` left."""
    value = json.loads((directory / ACCOUNT).read_text(encoding="utf-8"))
    return tuple(
        SourceAccount(entry["name"], entry["rows"], tuple(BadRow(**bad) for bad in entry["bad"]))
        for entry in value
    )


@dataclass(frozen=True)
class _Reading:
    con: DuckDBPyConnection
    step: SourceStep
    paths: tuple[Path, ...]
    scratch: Path

    def account(self) -> SourceAccount:
        import duckdb

        try:
            columns = source_columns(self.con, self.step, self.paths)
        except SourceError as error:
            raise UnreadableSource(self.step.name, error.message) from error
        except duckdb.Error as error:
            raise self._unreadable(error) from error
        try:
            self._fill(reader(self.step, self.paths, columns))
            bad: tuple[BadRow, ...] = ()
        except duckdb.Error as error:
            bad = self._again(columns, error)
        row = self.con.execute(f"from {identifier(self.step.name)} select count(*)").fetchone()
        return SourceAccount(self.step.name, (row[0] if row else 0) + len(bad), bad)

    def _fill(self, table: str, *, name: str | None = None) -> None:
        self.con.execute(f"create or replace table {identifier(name or self.step.name)} as from {table}")

    def _unreadable(self, error: duckdb.Error) -> Exception:
        message = str(error_details(error)["exception_message"])
        if "No space left" in message:
            return disk_full()
        for path, file in zip(self.paths, self.step.files, strict=True):
            message = message.replace(str(path), file.name)
        return UnreadableSource(self.step.name, message.split("\n")[0].rstrip(". "))

    def _again(self, columns: tuple[ColumnType, ...], error: duckdb.Error) -> tuple[BadRow, ...]:
        """Read row by row after a failure: everything that can be read, and an account of the rest."""
        bad: tuple[BadRow, ...] = ()
        if self.step.format == "jsonl":
            bad = self._lines(columns)
        elif self.step.format == "csv":
            bad = self._rejects(columns)
        if not bad:
            raise self._unreadable(error) from error
        return bad

    def _lines(self, columns: tuple[ColumnType, ...]) -> tuple[BadRow, ...]:
        import duckdb

        def probe(path: Path) -> str | None:
            try:
                self._fill(reader(self.step, [path], columns), name="ftc probe")
            except duckdb.Error as error:
                return duckdb_reason(str(error_details(error)["exception_message"]))
            return None

        clean, probed = self.scratch / "clean.jsonl", self.scratch / "probe.jsonl"
        names = [file.name for file in self.step.files]
        with clean.open("wb") as file:
            bad = tuple(BadLines(probe, probed, file).search(self.paths, names))
        self.con.execute('drop table if exists "ftc probe"')
        if bad:
            self._fill(reader(self.step, [clean], columns))
        clean.unlink()
        probed.unlink(missing_ok=True)
        return bad

    def _rejects(self, columns: tuple[ColumnType, ...]) -> tuple[BadRow, ...]:
        import duckdb

        try:
            self._fill(reader(self.step, self.paths, columns, rejects=True))
            rows = self.con.execute(
                "select file_path, line, first(error_type order by column_idx), "
                "first(error_message order by column_idx) from reject_errors join reject_scans "
                "using (scan_id, file_id) group by all order by file_path, line"
            ).fetchall()
        except duckdb.Error as error:
            raise self._unreadable(error) from error
        self.con.execute("drop table reject_errors; drop table reject_scans")
        order = {str(path): number for number, path in enumerate(self.paths)}
        rows.sort(key=lambda row: (order[row[0]], row[1]))
        return tuple(self._reject(order[path], line, kind, message) for path, line, kind, message in rows)

    def _reject(self, file: int, line: int, kind: str, message: str) -> BadRow:
        code = "FTC211" if kind == "INVALID ENCODING" else "FTC210"
        encoding = self.step.options["encoding"]
        reason = f"the text is not {encoding}" if code == "FTC211" else _reject_reason(message)
        return BadRow(None, f"{self.step.files[file].name}:{line}", code, reason)


def _reject_reason(message: str) -> str:
    counts = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message)
    if counts:
        return f"the line has {counts.group(2)} columns instead of {counts.group(1)}"
    text = " ".join(message.partition("\n")[0].split()).rstrip(". ")
    return text[:1].lower() + text[1:]


def disk_full() -> OSError:
    """The operating system's error behind DuckDB's message that the disk is full."""
    import errno

    return OSError(errno.ENOSPC, "No space left on device")
