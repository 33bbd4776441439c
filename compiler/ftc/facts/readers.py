"""How DuckDB reads a source's files: the columns, and the SQL that yields its rows in file order."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ftc.facts.json_types import faithful_type
from ftc.facts.sandbox import identifier, quoted
from ftc.plan.steps import ColumnType, SourceStep
from ftc.recipe.suggest import did_you_mean

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SAMPLE = 20_480
"""Rows from which the types of columns are told (JSONL: of each file)."""

LARGEST_OBJECT = 16 << 20
"""Bytes of the longest line; DuckDB keeps two of them for each thread."""

PYTHON_ENCODING = {"utf-8": "utf-8-sig", "utf-16": "utf-16", "latin-1": "latin-1"}

INTEGER = r"-?(0|[1-9]\d*)"
NUMBER = INTEGER + r"(\.\d+)?([eE][-+]?\d+)?"
DATE = r"\d{4}-\d{2}-\d{2}"
TYPES = (
    ("BOOLEAN", "true|false|True|False|TRUE|FALSE"),
    ("BIGINT", INTEGER),
    ("DOUBLE", NUMBER),
    ("DATE", DATE),
    ("TIMESTAMP", DATE + r"[ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?"),
)
"""The types a CSV column may have, first fit; text that would not read back the same stays text."""


class SourceError(Exception):
    """A source's files do not fit what the recipe says of them: message and help."""

    def __init__(self, message: str, help_: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message, self.help = message, help_


def open_bytes(path: Path) -> IO[bytes]:
    """A file's bytes, decompressed where its name ends in .gz."""
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def file_list(paths: Sequence[Path]) -> str:
    """The files as an SQL list; their names are names, not globs."""
    return "[" + ", ".join(quoted(_literal(str(path))) for path in paths) + "]"


def _literal(path: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in path)


def _struct(columns: Sequence[ColumnType]) -> str:
    return "{" + ", ".join(f"{quoted(c.name)}: {quoted(c.type)}" for c in columns) + "}"


def reader(
    step: SourceStep, paths: Sequence[Path], columns: Sequence[ColumnType], *, rejects: bool = False
) -> str:
    """The table function that reads the files, with every column's type stated.

    With `rejects`, CSV lines that do not parse go to DuckDB's table of rejects instead of failing.
    """
    if step.format == "parquet":
        return f"read_parquet({file_list(paths)}, union_by_name=true, hive_partitioning=false)"
    if step.format == "jsonl":
        return (
            f"read_json({file_list(paths)}, format='newline_delimited', columns={_struct(columns)}, "
            f"maximum_object_size={LARGEST_OBJECT}, hive_partitioning=false)"
        )
    extra = ", store_rejects=true, rejects_limit=0" if rejects else ""
    return f"read_csv({file_list(paths)}, columns={_struct(columns)}, {_csv_options(step)}{extra})"


def _csv_options(step: SourceStep) -> str:
    options = step.options
    quote = str(options["quote"])
    return (
        f"auto_detect=false, hive_partitioning=false, delim={quoted(str(options['delimiter']))}, "
        f"quote={quoted(quote)}, escape={quoted(quote)}, header={str(options['header']).lower()}, "
        f"encoding={quoted(str(options['encoding']))}, strict_mode=true, max_line_size={LARGEST_OBJECT}, "
        f"buffer_size={2 * LARGEST_OBJECT}"
    )


def source_columns(
    con: DuckDBPyConnection, step: SourceStep, paths: Sequence[Path]
) -> tuple[ColumnType, ...]:
    """Names and types of a source's columns, told from a bounded sample unless the recipe states them.

    Raises SourceError and duckdb.Error.
    """
    if step.format == "csv":
        return _csv_columns(con, step, paths)
    stated = _stated(step)
    if stated:
        return tuple(ColumnType(name=name, type=type_) for name, type_ in stated.items())
    if step.format == "jsonl":
        return _json_columns(con, step, paths)
    return _described(con, reader(step, paths, ()))


def _stated(step: SourceStep) -> Mapping[str, str]:
    columns = step.options.get("columns")
    return {name: str(type_) for name, type_ in columns.items()} if isinstance(columns, dict) else {}


def _described(con: DuckDBPyConnection, table: str) -> tuple[ColumnType, ...]:
    rows = con.execute(f"describe select * from {table}").fetchall()  # noqa: S608 - ftc's own SQL
    return tuple(ColumnType(name=row[0], type=row[1]) for row in rows)


def _json_columns(con: DuckDBPyConnection, step: SourceStep, paths: Sequence[Path]) -> tuple[ColumnType, ...]:
    table = (
        f"read_json({file_list(paths)}, format='newline_delimited', ignore_errors=true, "
        f"sample_size={SAMPLE}, maximum_sample_files={len(paths)}, union_by_name=true, "
        f"maximum_object_size={LARGEST_OBJECT}, hive_partitioning=false)"
    )
    columns = _described(con, table)
    if [column.name for column in columns] == ["json"] and not _has_object(con, paths):
        raise SourceError(
            f"the lines of the source `{step.name}` are not JSON objects",
            ('a JSONL file has one object on each line, such as {"prompt": "…", "completion": "…"}',),
        )
    return tuple(ColumnType(name=c.name, type=faithful_type(con, c.type)) for c in columns)


def _has_object(con: DuckDBPyConnection, paths: Sequence[Path]) -> bool:
    """Whether any sampled line is an object; DuckDB reads other values as a column named json."""
    lines = f"read_ndjson_objects({file_list(paths)}, ignore_errors=true)"
    kinds = con.execute(f"select distinct json_type(json) from (from {lines} limit {SAMPLE})").fetchall()  # noqa: S608
    return ("OBJECT",) in kinds


def _csv_header(step: SourceStep, path: Path) -> list[str]:
    """The first record of a file; empty for an empty file."""
    options = step.options
    quote = str(options["quote"])
    encoding = PYTHON_ENCODING[str(options["encoding"])]
    with open_bytes(path) as file:
        return _first_record(file, encoding, str(options["delimiter"]), quote)


def _first_record(file: IO[bytes], encoding: str, delimiter: str, quote: str) -> list[str]:
    text = io.TextIOWrapper(file, encoding=encoding, newline="", errors="replace")
    if len(delimiter) > 1:
        return text.readline().rstrip("\r\n").split(delimiter)
    if not quote:
        return next(csv.reader(text, delimiter=delimiter, quoting=csv.QUOTE_NONE), [])
    return next(csv.reader(text, delimiter=delimiter, quotechar=quote), [])


def _csv_columns(con: DuckDBPyConnection, step: SourceStep, paths: Sequence[Path]) -> tuple[ColumnType, ...]:
    names, stated = _csv_names(step, paths), _stated(step)
    unknown = [name for name in stated if name not in names]
    if unknown:
        raise SourceError(
            f"`columns` names {', '.join(f'`{name}`' for name in unknown)}, but the columns of the "
            f"source `{step.name}` are {', '.join(f'`{name}`' for name in names)}",
            tuple(line for name in unknown for line in did_you_mean(name, names)),
        )
    told = _told_types(con, step, paths, names)
    return tuple(
        ColumnType(name=name, type=stated.get(name, type_)) for name, type_ in zip(names, told, strict=True)
    )


def _csv_names(step: SourceStep, paths: Sequence[Path]) -> list[str]:
    first = next(chain((r for r in (_csv_header(step, path) for path in paths) if r), ([],)))
    if not step.options["header"]:
        stated = list(_stated(step))
        return stated if len(stated) == len(first) else [f"column{i}" for i in range(len(first))]
    names = [name or f"column{i}" for i, name in enumerate(first)]
    twice = sorted({name for name in names if [n.casefold() for n in names].count(name.casefold()) > 1})
    if twice:
        raise SourceError(
            f"the source `{step.name}` has several columns named `{twice[0]}`",
            ("rename one of them in the first line of the file",),
        )
    _wrong_delimiter(step, names)
    return names


def _wrong_delimiter(step: SourceStep, names: Sequence[str]) -> None:
    if len(names) != 1:
        return
    for other in (";", "\t", "|", ","):
        if other != step.options["delimiter"] and other in names[0]:
            shown = "\\t" if other == "\t" else other
            raise SourceError(
                f"the source `{step.name}` has a single column named `{names[0]}`",
                (f'if its columns are separated by `{shown}`, write delimiter = "{shown}" in its table',),
            )


def _told_types(
    con: DuckDBPyConnection, step: SourceStep, paths: Sequence[Path], names: Sequence[str]
) -> list[str]:
    if not names:
        return []
    texts = [ColumnType(name=f"c{i}", type="VARCHAR") for i in range(len(names))]
    table = reader(step, paths, texts).removesuffix(")") + ", ignore_errors=true)"
    tests = ", ".join(_type_test(identifier(column.name)) for column in texts)
    row = con.execute(f"select {tests} from (select * from {table} limit {SAMPLE})").fetchone()  # noqa: S608
    return [str(type_) for type_ in row or ()]


def _type_test(column: str) -> str:
    cases = " ".join(
        f"when bool_and({column} is null or (regexp_full_match({column}, {quoted(pattern)}) "
        f"and try_cast({column} as {type_}) is not null)) then {quoted(type_)}"
        for type_, pattern in TYPES
    )
    return f"case when count({column}) = 0 then 'VARCHAR' {cases} else 'VARCHAR' end"
