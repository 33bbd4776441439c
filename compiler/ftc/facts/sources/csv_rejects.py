"""The lines of CSV files that DuckDB rejects, with the numbers and reasons that people know them by."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ftc.facts.sources.base import BadRow, Reading
from ftc.facts.sources.packed import open_bytes

REJECTS = """
select file_path, line, line_byte_position, first(error_type order by column_idx),
  first(error_message order by column_idx)
from reject_errors join reject_scans using (scan_id, file_id)
group by all order by file_path, line_byte_position
"""


def rejected(reading: Reading, encoding: str) -> tuple[BadRow, ...]:
    """The lines that the read just made left out, in the order of the files. Raises duckdb.Error."""
    rows = reading.con.execute(REJECTS).fetchall()
    reading.con.execute("drop table reject_errors; drop table reject_scans")
    return tuple(
        bad
        for path, name in zip(reading.paths, reading.names, strict=True)
        for bad in _of_file(path, name, [row for row in rows if row[0] == str(path)], encoding)
    )


def rejected_records(reading: Reading) -> tuple[BadRow, ...]:
    """The records that the read just made left out of one file with a header, by their numbers (from 1)."""
    rows = reading.con.execute(REJECTS).fetchall()
    reading.con.execute("drop table reject_errors; drop table reject_scans")
    name = reading.names[0]
    return tuple(
        BadRow(line - 1, f"{name}:{line - 1}", "FTC210", _reason(message)) for _, line, _, _, message in rows
    )


def _of_file(path: Path, name: str, rows: Sequence[tuple[Any, ...]], encoding: str) -> Iterator[BadRow]:
    """The rejected records of one file; DuckDB counts records, people count lines."""
    lines = [row[1] for row in rows]
    if encoding == "utf-8" and rows:
        lines = _line_numbers(path, [row[2] - 1 for row in rows])
    for line, (_, _, _, kind, message) in zip(lines, rows, strict=True):
        wrong = kind == "INVALID ENCODING"
        reason = f"the text is not {encoding}" if wrong else _reason(message)
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


def _reason(message: str) -> str:
    counts = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message)
    if counts:
        found = "1 column" if counts.group(2) == "1" else f"{counts.group(2)} columns"
        return f"the line has {found} instead of {counts.group(1)}"
    text = " ".join(message.partition("\n")[0].split()).rstrip(". ")
    return text[:1].lower() + text[1:]
