"""Read every source once into a DuckDB file, in file order, and account for rows that cannot be read."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.data.bad_lines import BadLines, BadRow, duckdb_reason
from ftc.facts.readers import SourceError, file_list, open_bytes, reader, source_columns
from ftc.facts.sandbox import connect, identifier, interruptible, quoted, threads_for_reading
from ftc.facts.sql_problems import error_details
from ftc.plan.steps import ColumnType, SourceStep

if TYPE_CHECKING:
    import duckdb
    from duckdb import DuckDBPyConnection

DATABASE = "sources.duckdb"
ACCOUNT = "account.json"


REJECTS = """
select file_path, line, line_byte_position, first(error_type order by column_idx),
  first(error_message order by column_idx)
from reject_errors join reject_scans using (scan_id, file_id)
group by all order by file_path, line_byte_position
"""


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


def is_whole(directory: Path) -> bool:
    """Whether what `ingest` left can still be opened."""
    import duckdb

    con = connect()
    try:
        read_accounts(directory)
        con.execute(f"attach {quoted(str(directory / DATABASE))} as kept (read_only)")
    except (OSError, ValueError, TypeError, LookupError, duckdb.Error):
        return False
    finally:
        con.close()
    return True


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

    def _fill(self, table: str) -> None:
        sql = f"create or replace table {identifier(self.step.name)} as from {table}"
        interruptible(self.con, lambda: self.con.execute(sql))

    def _unreadable(self, error: duckdb.Error) -> Exception:
        message = str(error_details(error)["exception_message"])
        for path, file in zip(self.paths, self.step.files, strict=True):
            message = message.replace(str(path), file.name)
        return UnreadableSource(self.step.name, message.split("\n")[0].rstrip(". "))

    def _again(self, columns: tuple[ColumnType, ...], error: duckdb.Error) -> tuple[BadRow, ...]:
        """Read row by row after a failure: everything that can be read, and an account of the rest."""
        if is_full_disk(error):
            raise disk_full() from error
        bad: tuple[BadRow, ...] = ()
        if self.step.format == "jsonl":
            bad = self._lines(columns)
        elif self.step.format == "csv":
            bad = self._rejects(columns)
        if not bad:
            raise self._unreadable(error) from error
        return bad

    def _lines(self, columns: tuple[ColumnType, ...]) -> tuple[BadRow, ...]:
        clean, tried = self.scratch / "clean.jsonl", self.scratch / "tried.jsonl"
        names = [file.name for file in self.step.files]
        with clean.open("wb") as file:
            judge = _Judge(self.con, self.step, columns)
            bad = tuple(BadLines(judge, tried, file).search(self.paths, names))
        if bad:
            self._fill(reader(self.step, [clean], columns))
        clean.unlink()
        tried.unlink(missing_ok=True)
        return bad

    def _rejects(self, columns: tuple[ColumnType, ...]) -> tuple[BadRow, ...]:
        import duckdb

        try:
            self._fill(reader(self.step, self.paths, columns, rejects=True))
            rows = self.con.execute(REJECTS).fetchall()
        except duckdb.Error as error:
            raise self._unreadable(error) from error
        self.con.execute("drop table reject_errors; drop table reject_scans")
        return tuple(
            bad
            for path, file in zip(self.paths, self.step.files, strict=True)
            for bad in self._rejects_of(path, file.name, [row for row in rows if row[0] == str(path)])
        )

    def _rejects_of(self, path: Path, name: str, rows: Sequence[tuple[Any, ...]]) -> Iterator[BadRow]:
        """The rejected records of one file; DuckDB counts records, people count lines."""
        encoding = self.step.options["encoding"]
        lines = [row[1] for row in rows]
        if encoding == "utf-8" and rows:
            lines = _line_numbers(path, [row[2] - 1 for row in rows])
        for line, (_, _, _, kind, message) in zip(lines, rows, strict=True):
            wrong = kind == "INVALID ENCODING"
            reason = f"the text is not {encoding}" if wrong else _reject_reason(message)
            yield BadRow(None, f"{name}:{line}", "FTC211" if wrong else "FTC210", reason)


def _line_numbers(path: Path, offsets: Sequence[int]) -> list[int]:
    """The lines (from 1) in which bytes of a file stand; the offsets are in ascending order."""
    found, line, at = [], 1, 0
    with open_bytes(path) as file:
        for offset in offsets:
            while at < offset and (block := file.read(min(offset - at, 1 << 20))):
                line += block.count(b"\n")
                at += len(block)
            found.append(line)
    return found


def _reject_reason(message: str) -> str:
    counts = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message)
    if counts:
        return f"the line has {counts.group(2)} columns instead of {counts.group(1)}"
    text = " ".join(message.partition("\n")[0].split()).rstrip(". ")
    return text[:1].lower() + text[1:]


@dataclass(frozen=True)
class _Judge:
    con: DuckDBPyConnection
    step: SourceStep
    columns: tuple[ColumnType, ...]

    def reason(self, path: Path) -> str | None:
        import duckdb

        try:
            self.con.execute(
                f"create or replace temp table tried as from {reader(self.step, [path], self.columns)}"
            )
        except duckdb.Error as error:
            return duckdb_reason(str(error_details(error)["exception_message"]))
        return None

    def malformed(self, path: Path) -> Sequence[int]:
        lines = f"read_ndjson_objects({file_list([path])}, ignore_errors=true)"
        rows = self.con.execute(f"from {lines} select json_type(json)").fetchall()
        return [number for number, (kind,) in enumerate(rows) if kind != "OBJECT"]


def is_full_disk(error: duckdb.Error) -> bool:
    """Whether DuckDB ran out of disk space."""
    return "No space left" in str(error)


def disk_full() -> OSError:
    """The operating system's error behind DuckDB's message that the disk is full."""
    import errno

    return OSError(errno.ENOSPC, "No space left on device")
