"""The columns of a data file and their types, as DuckDB detects them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ftc.diagnostics import Finding

READERS = {
    ".parquet": "read_parquet(?)",
    ".pq": "read_parquet(?)",
    ".jsonl": "read_json(?, format = 'newline_delimited')",
    ".ndjson": "read_json(?, format = 'newline_delimited')",
    ".csv": "read_csv(?)",
    ".tsv": "read_csv(?)",
}
"""File endings that are recognised, and DuckDB's function for each."""


def columns_of(file: Path) -> Mapping[str, str] | Finding:
    """Names and DuckDB types of a data file's columns, in their order; a finding if it cannot be read."""
    import duckdb

    reader = READERS.get(file.suffix.lower())
    if reader is None:
        return Finding(
            "FTC202",
            f"`{file.name}` does not say by its name what it is",
            place=str(file),
            help=("give it one of these endings: " + ", ".join(READERS),),
        )
    try:
        with duckdb.connect() as connection:
            rows = connection.execute(f"describe select * from {reader}", [_literal(file)]).fetchall()  # noqa: S608
    except duckdb.Error as error:
        return _unreadable(file, str(error))
    return {str(row[0]): str(row[1]) for row in rows}


def _literal(file: Path) -> str:
    """The path with what DuckDB would take for a pattern put in brackets."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in str(file))


def _unreadable(file: Path, reason: str) -> Finding:
    first = reason.strip().split("\n", maxsplit=1)[0]
    encoded = "utf-8" in reason.lower() or "unicode" in reason.lower()
    return Finding(
        "FTC211" if encoded else "FTC210",
        f"`{file.name}` cannot be read: {first}",
        place=str(file),
        help=("convert it to UTF-8: iconv -f latin1 -t utf-8 …",) if encoded else (),
    )
