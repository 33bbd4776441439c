"""The columns of a data file with their types, and what must be said of the file to read it."""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ftc.diagnostics import Finding
from ftc.facts.readers import SourceError, open_bytes, source_columns
from ftc.facts.sandbox import connect
from ftc.facts.sources import COMPRESSED, FORMATS
from ftc.plan.steps import SourceStep

CHUNK = 1 << 20
DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class Table:
    """A data file's columns and types in order, and the options of a source that are not the defaults."""

    columns: Mapping[str, str]
    options: Mapping[str, str]


def columns_of(file: Path) -> Table | Finding:
    """Read a data file's columns as a recipe's source would; a finding if it cannot be read."""
    import duckdb

    ending = Path(file.name.lower().removesuffix(COMPRESSED)).suffix
    if ending not in FORMATS:
        known = ", ".join(FORMATS)
        help_ = (f"give it one of these endings: {known}",)
        return Finding(
            "FTC202", f"`{file.name}` does not say by its name what it is", place=str(file), help=help_
        )
    try:
        options = _csv_options(file, ending) if FORMATS[ending] == "csv" else {}
        step = _step(file, ending, options)
        with connect() as con:
            columns = source_columns(con, step, (file,))
    except (OSError, EOFError) as error:
        return Finding("FTC201", f"`{file.name}` cannot be read: {error}", place=str(file))
    except SourceError as problem:
        return Finding("FTC202", problem.message, place=str(file), help=problem.help)
    except duckdb.Error as error:
        return Finding("FTC210", f"`{file.name}` cannot be read: {_reason(error)}", place=str(file))
    if not columns:
        return Finding("FTC202", f"`{file.name}` is empty", place=str(file))
    return Table({column.name: column.type for column in columns}, options)


def _step(file: Path, ending: str, options: Mapping[str, str]) -> SourceStep:
    """The file as a source whose digest nobody asks for."""
    settled = {
        "encoding": "utf-8",
        "delimiter": "\t" if ending == ".tsv" else ",",
        "quote": '"',
        "header": True,
    }
    return SourceStep(
        name=file.name,
        location=str(file),
        format=FORMATS[ending],
        options={**settled, **options} if FORMATS[ending] == "csv" else {},
        files=(),
    )


def _csv_options(file: Path, ending: str) -> dict[str, str]:
    """Encoding and delimiter, where they are not what a source has by default."""
    options = {}
    encoding = _encoding(file)
    if encoding != "utf-8":
        options["encoding"] = encoding
    with open_bytes(file) as opened:
        head = opened.read(CHUNK).decode(encoding, errors="replace").partition("\n")[0]
    usual = "\t" if ending == ".tsv" else ","
    delimiter = max((usual, *DELIMITERS), key=head.count)
    if delimiter != usual:
        options["delimiter"] = delimiter
    return options


def _encoding(file: Path) -> str:
    """The encoding a file is in: by its byte order mark, UTF-8 if it is that, else Latin-1."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with open_bytes(file) as opened:
        chunk = opened.read(CHUNK)
        if chunk.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        try:
            while chunk:
                decoder.decode(chunk)
                chunk = opened.read(CHUNK)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "latin-1"
    return "utf-8"


def _reason(error: Exception) -> str:
    """The first line of what DuckDB says, out of the JSON in which it says it."""
    text = str(error)
    start = text.find("{")
    if start >= 0:
        with suppress(ValueError):
            text = str(json.loads(text[start:]).get("exception_message", text))
    return text.strip().split("\n", maxsplit=1)[0]
