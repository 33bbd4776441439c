"""CSV: every option stated, and a type for a column only where it changes nothing that the file says."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pydantic import JsonValue

from ftc.facts.sandbox import identifier, quoted
from ftc.facts.sources.base import LARGEST_OBJECT, SAMPLE, BadRow, Kind, Reading, Settled, SourceError
from ftc.facts.sources.csv_rejects import rejected
from ftc.facts.sources.packed import open_bytes
from ftc.facts.sources.sql import file_list, stated, struct
from ftc.plan.steps import ColumnType, SourceStep
from ftc.recipe.rows import SourceFiles
from ftc.recipe.source_kinds import ending
from ftc.recipe.suggest import did_you_mean, listed

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PYTHON_ENCODING = {"utf-8": "utf-8-sig", "utf-16": "utf-16", "latin-1": "latin-1"}

TYPES = (
    ("BOOLEAN", "True|False", ""),
    ("BIGINT", r"0|-?[1-9]\d*", ""),
    ("DOUBLE", r"-?(0|[1-9]\d{0,14})\.\d{1,15}", ""),
    ("DATE", r"\d{4}-\d{2}-\d{2}", ""),
    ("TIMESTAMP", r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}(\.\d{6})?", r".*\.000000"),
)
"""The types a column may have, first fit: what its values look like, and what they may not look like.

A value of such a form that DuckDB writes back unchanged is printed by a template as it stands in the file;
1.50, 1e3, +5, 007 or true would not be, and make their column text.
"""

Grid = tuple[tuple[str, ...], tuple[Path, ...]]
"""The names of columns in their order, and the files that have them so."""


class Csv:
    """A line is a row; a line of another shape is named by file and number."""

    def settle(self, name: str, declared: SourceFiles, paths: Sequence[Path]) -> Settled:
        """Everything that DuckDB would guess; a .tsv file is separated by tabs."""
        del name
        tabs = ending(paths[0].name) == ".tsv"
        options: dict[str, JsonValue] = {
            "encoding": declared.encoding or "utf-8",
            "delimiter": declared.delimiter or ("\t" if tabs else ","),
            "quote": '"' if declared.quote is None else declared.quote,
            "header": True if declared.header is None else declared.header,
        }
        if declared.columns is not None:
            options["columns"] = dict(declared.columns)
        return Settled(options)

    def columns(
        self, con: DuckDBPyConnection, step: SourceStep, paths: Sequence[Path]
    ) -> tuple[ColumnType, ...]:
        """The columns of all files by name; types as stated, or as every value allows.

        Raises SourceError and duckdb.Error.
        """
        import duckdb

        grids = _grids(step, paths)
        names = tuple(dict.fromkeys(name for columns, _ in grids for name in columns))
        known = stated(step)
        _refuse_unknown(step, known, names)
        try:
            told = _told_types(con, step, grids, [name for name in names if name not in known])
        except duckdb.Error:
            _refuse_mixed_ends(step, paths)
            raise
        return tuple(ColumnType(name=name, type=known.get(name) or told[name]) for name in names)

    def read(self, reading: Reading) -> tuple[BadRow, ...]:
        """All rows, file by file. Raises duckdb.Error and OSError."""
        import duckdb

        step = reading.step
        types = {column.name: column.type for column in reading.columns}
        grids = _grids(step, reading.paths)
        try:
            reading.fill(_table(step, grids, types))
        except duckdb.Error as error:
            reading.still_possible(error)
            reading.fill(_table(step, grids, types, extra=", store_rejects=true, rejects_limit=0"))
            bad = rejected(reading, str(step.options["encoding"]))
            if not bad:
                raise
            return bad
        return ()


KIND: Kind = Csv()


def _options(step: SourceStep) -> str:
    options = step.options
    quote = str(options["quote"])
    return (
        f"auto_detect=false, hive_partitioning=false, delim={quoted(str(options['delimiter']))}, "
        f"quote={quoted(quote)}, escape={quoted(quote)}, header={str(options['header']).lower()}, "
        f"encoding={quoted(str(options['encoding']))}, strict_mode=true, max_line_size={LARGEST_OBJECT}, "
        f"buffer_size={2 * LARGEST_OBJECT}"
    )


def _table(step: SourceStep, grids: Sequence[Grid], types: Mapping[str, str], *, extra: str = "") -> str:
    """The SQL that yields the rows of all files in order; a column that a file lacks is null in its rows."""
    parts = []
    for names, paths in grids:
        columns = struct([ColumnType(name=name, type=types[name]) for name in names])
        parts.append(f"read_csv({file_list(paths)}, columns={columns}, {_options(step)}{extra})")
    if len(parts) == 1:
        return parts[0]
    return "(" + " union all by name ".join(f"from {part}" for part in parts) + ")"


def _grids(step: SourceStep, paths: Sequence[Path]) -> list[Grid]:
    """The files in order, those together that follow each other with the same columns."""
    grids: list[tuple[tuple[str, ...], list[Path]]] = []
    first: dict[str, str] = {}
    for path in paths:
        names = tuple(first.setdefault(name.casefold(), name) for name in _names(step, path))
        if not names and grids:
            names = grids[-1][0]  # an empty file has no rows, whatever its columns
        if grids and (grids[-1][0] == names or not grids[-1][0]):
            grids[-1] = (names, [*grids[-1][1], path])
        else:
            grids.append((names, [path]))
    return [(names, tuple(files)) for names, files in grids]


def _names(step: SourceStep, path: Path) -> tuple[str, ...]:
    """The columns of a file; none where it is empty. Raises SourceError."""
    first = _header(step, path)
    if not step.options["header"]:
        known = list(stated(step))
        return tuple(known if len(known) == len(first) else [f"column{i}" for i in range(len(first))])
    names = [name or f"column{i}" for i, name in enumerate(first)]
    twice = sorted({name for name in names if [n.casefold() for n in names].count(name.casefold()) > 1})
    if twice:
        raise SourceError(
            f"the source `{step.name}` has several columns named `{twice[0]}`",
            ("rename one of them in the first line of the file",),
        )
    _wrong_delimiter(step, names)
    return tuple(names)


def _header(step: SourceStep, path: Path) -> list[str]:
    """The first record of a file; empty for an empty file."""
    options = step.options
    encoding = PYTHON_ENCODING[str(options["encoding"])]
    with open_bytes(path) as file:
        return _first_record(file, encoding, str(options["delimiter"]), str(options["quote"]))


def _first_record(file: IO[bytes], encoding: str, delimiter: str, quote: str) -> list[str]:
    text = io.TextIOWrapper(file, encoding=encoding, newline="", errors="replace")
    if len(delimiter) > 1:
        return text.readline().rstrip("\r\n").split(delimiter)
    if not quote:
        return next(csv.reader(text, delimiter=delimiter, quoting=csv.QUOTE_NONE), [])
    return next(csv.reader(text, delimiter=delimiter, quotechar=quote), [])


def _refuse_unknown(step: SourceStep, known: Mapping[str, str], names: Sequence[str]) -> None:
    unknown = [name for name in known if name not in names]
    if unknown:
        raise SourceError(
            f"`columns` names {listed(unknown)}, but the columns of the source `{step.name}` are "
            f"{listed(names)}",
            tuple(line for name in unknown for line in did_you_mean(name, names)),
        )


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


def _refuse_mixed_ends(step: SourceStep, paths: Sequence[Path]) -> None:
    """Say where a file's lines begin to end otherwise, which DuckDB does not read."""
    for path in paths:
        with open_bytes(path) as file:
            marked = [line.endswith(b"\r\n") for line in file if line.endswith(b"\n")]
        if len(set(marked)) == 2:
            kinds = ("CRLF", "LF") if marked[0] else ("LF", "CRLF")
            raise SourceError(
                f"the source `{step.name}` cannot be read as csv: the lines of {path.name} end in "
                f"{kinds[0]}, and line {marked.index(not marked[0]) + 1} ends in {kinds[1]}",
                ("give all lines the same end; dos2unix does that",),
            )


def _told_types(
    con: DuckDBPyConnection, step: SourceStep, grids: Sequence[Grid], names: Sequence[str]
) -> dict[str, str]:
    """The types that every value of a column allows: most columns are text after the first rows."""
    if not names:
        return {}
    texts = dict.fromkeys((name for columns, _ in grids for name in columns), "VARCHAR")
    table = _table(step, grids, texts, extra=", ignore_errors=true")
    first = _types(con, f"(select * from {table} limit {SAMPLE})", names)  # noqa: S608 - ftc's own SQL
    doubtful = [name for name, type_ in first.items() if type_ != "VARCHAR"]
    return first | (_types(con, table, doubtful) if doubtful else {})


def _types(con: DuckDBPyConnection, table: str, names: Sequence[str]) -> dict[str, str]:
    tests = ", ".join(_type_test(identifier(name)) for name in names)
    row = con.execute(f"select {tests} from {table}").fetchone()  # noqa: S608 - ftc's own SQL
    return dict(zip(names, map(str, row or ()), strict=True))


def _type_test(column: str) -> str:
    cases = " ".join(f"when bool_and({_fits(column, *form)}) then {quoted(form[0])}" for form in TYPES)
    return f"case when count({column}) = 0 then 'VARCHAR' {cases} else 'VARCHAR' end"


def _fits(column: str, type_: str, form: str, but: str) -> str:
    """Whether a value has a form of the type and comes back from it unchanged."""
    back = (
        "" if type_ in ("BOOLEAN", "TIMESTAMP") else f" and try_cast({column} as {type_})::varchar = {column}"
    )
    excluded = f" and not regexp_full_match({column}, {quoted(but)})" if but else ""
    return (
        f"{column} is null or (regexp_full_match({column}, {quoted(form)}){excluded} "
        f"and try_cast({column} as {type_}) is not null{back})"
    )
