"""Find the lines of JSON that DuckDB cannot read; DuckDB itself is the judge."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from ftc.facts.sources.base import BadRow
from ftc.facts.sources.packed import open_bytes
from ftc.facts.sources.sql import file_list
from ftc.facts.sql_problems import error_details

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

BOM = b"\xef\xbb\xbf"
"""The byte order mark of UTF-8, with which Windows begins files."""

NO_OBJECT = "not a JSON object"

CHUNK = 4096
"""Lines that are tried together before the bad ones among them are searched by halving."""


class Judge(Protocol):
    """DuckDB, asked about a file of a few lines."""

    def reason(self, path: Path) -> str | None:
        """Why the file cannot be read with the source's columns; None where it can."""

    def malformed(self, path: Path) -> Sequence[int]:
        """The lines (from 0) that are no JSON object at all."""


@dataclass(frozen=True, slots=True)
class Line:
    """A row as it stands in a file: its number among all rows (from 1), its place, its bytes on one line."""

    number: int
    place: str
    content: bytes


@dataclass(frozen=True)
class JsonJudge:
    """Asks a connection; `rows_of` is the SQL that reads a file with the source's columns."""

    con: DuckDBPyConnection
    rows_of: Callable[[Path], str]

    def reason(self, path: Path) -> str | None:
        """Why the file cannot be read with the source's columns; None where it can."""
        import duckdb

        try:
            self.con.execute(f"create or replace temp table tried as from {self.rows_of(path)}")
        except duckdb.Error as error:
            return duckdb_reason(str(error_details(error)["exception_message"]))
        return None

    def malformed(self, path: Path) -> Sequence[int]:
        """The lines (from 0) that are no JSON object at all."""
        lines = f"read_ndjson_objects({file_list([path])}, ignore_errors=true)"
        rows = self.con.execute(f"from {lines} select json_type(json)").fetchall()
        return [number for number, (kind,) in enumerate(rows) if kind != "OBJECT"]


def is_marked(path: Path) -> bool:
    """Whether a file begins with a byte order mark, as Windows writes it."""
    with open_bytes(path) as file:
        return file.read(len(BOM)) == BOM


def numbered_lines(paths: Sequence[Path], names: Sequence[str]) -> Iterator[Line]:
    """The lines with something on them; numbers run on over the files."""
    numbers = count(1)
    for path, name in zip(paths, names, strict=True):
        with open_bytes(path) as file:
            unmarked = chain([next(file, b"").removeprefix(BOM)], file)
            filled = ((at, line) for at, line in enumerate(unmarked, 1) if line.strip())
            yield from (Line(next(numbers), f"{name}:{at}", line.rstrip(b"\r\n")) for at, line in filled)


def _explained(line: Line, judged: str) -> BadRow:
    try:
        value = json.loads(line.content.decode("utf-8"))
    except UnicodeDecodeError as error:
        byte = line.content[error.start]
        return BadRow(
            line.number,
            line.place,
            "FTC211",
            f"byte {error.start + 1} of the line, 0x{byte:02x}, is not UTF-8",
        )
    except ValueError as error:
        place = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        reason = error.msg.removesuffix(" at") if isinstance(error, json.JSONDecodeError) else str(error)
        return BadRow(line.number, line.place, "FTC210", f"not JSON: {_lowered(reason)}{place}")
    if not isinstance(value, dict):
        return BadRow(line.number, line.place, "FTC210", NO_OBJECT)
    if judged == NO_OBJECT and not _is_unicode(value):
        judged = "half of a surrogate pair, such as \\ud83d alone, which is no character"
    return BadRow(line.number, line.place, "FTC210", judged)


def _is_unicode(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]


class BadLines:
    """A search through lines; good ones go to `clean` on the way.

    `tried` is a place for the lines that are being tried.
    """

    def __init__(self, judge: Judge, tried: Path, clean: BinaryIO) -> None:
        self._judge, self._tried, self._clean = judge, tried, clean

    def search(self, lines: Iterable[Line]) -> Iterator[BadRow]:
        """The bad lines in order, one chunk in memory at a time."""
        lines = iter(lines)
        while chunk := list(islice(lines, CHUNK)):
            malformed = set() if self._reason(chunk) is None else set(self._judge.malformed(self._tried))
            bad = [_explained(line, NO_OBJECT) for n, line in enumerate(chunk) if n in malformed]
            bad += self._mistyped([line for n, line in enumerate(chunk) if n not in malformed])
            yield from sorted(bad, key=lambda row: row.number or 0)

    def _reason(self, lines: Sequence[Line]) -> str | None:
        self._tried.write_bytes(b"".join(line.content + b"\n" for line in lines))
        return self._judge.reason(self._tried) if lines else None

    def _mistyped(self, lines: Sequence[Line]) -> Iterator[BadRow]:
        """The lines whose values do not fit the columns, found by halving."""
        reason = self._reason(lines)
        if reason is None:
            self._clean.write(self._tried.read_bytes())
        elif len(lines) == 1:
            yield _explained(lines[0], reason)
        else:
            middle = len(lines) // 2
            yield from self._mistyped(lines[:middle])
            yield from self._mistyped(lines[middle:])


def duckdb_reason(message: str) -> str:
    """DuckDB's reason for a line, without file names, line numbers and advice."""
    text = re.sub(r"^.*?in (?:line|record/value) \d+: ", "", message.partition("\n")[0])
    return _lowered(" ".join(text.split())).rstrip(". ")
