"""JSONL: one object on each line, of which DuckDB tells the columns; what it cannot read is found by line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ftc.facts.json_types import faithful_type
from ftc.facts.sources.bad_lines import BadLines, JsonJudge, Line, is_marked, numbered_lines
from ftc.facts.sources.base import LARGEST_OBJECT, SAMPLE, BadRow, Kind, Reading, Settled, SourceError
from ftc.facts.sources.sql import described, file_list, stated, struct
from ftc.plan.steps import ColumnType, SourceStep
from ftc.recipe.rows import SourceFiles

if TYPE_CHECKING:
    from collections.abc import Iterable

    from duckdb import DuckDBPyConnection

LAYOUT = {"jsonl": "newline_delimited", "json": "array"}
"""DuckDB's words for a file of lines and a file which is one array."""

WANTED = {
    "jsonl": 'a JSONL file has one object on each line, such as {"prompt": "…", "completion": "…"}',
    "json": 'a JSON file is an array of objects, such as [{"prompt": "…", "completion": "…"}]',
}


def stated_columns(declared: SourceFiles) -> Settled:
    """The columns, where the recipe states them."""
    return Settled({"columns": dict(declared.columns)} if declared.columns else {})


def rows_of(layout: str, paths: Sequence[Path], columns: Sequence[ColumnType]) -> str:
    """The table function that reads the objects with every column's type stated."""
    return (
        f"read_json({file_list(paths)}, format='{layout}', columns={struct(columns)}, "
        f"maximum_object_size={LARGEST_OBJECT}, hive_partitioning=false)"
    )


def json_columns(
    con: DuckDBPyConnection, step: SourceStep, paths: Sequence[Path], layout: str
) -> tuple[ColumnType, ...]:
    """The columns that all rows together tell: DuckDB leaves out keys of which it was not told.

    Raises SourceError and duckdb.Error.
    """
    lenient = ", ignore_errors=true" if layout == LAYOUT["jsonl"] else ""
    columns = described(
        con,
        f"read_json({file_list(paths)}, format='{layout}'{lenient}, sample_size=-1, "
        f"maximum_sample_files={len(paths)}, union_by_name=true, "
        f"maximum_object_size={LARGEST_OBJECT}, hive_partitioning=false)",
    )
    if [column.name for column in columns] == ["json"] and not _has_object(con, paths, layout):
        rows = "lines" if layout == LAYOUT["jsonl"] else "elements"
        raise SourceError(
            f"the {rows} of the source `{step.name}` are not JSON objects", (WANTED[step.format],)
        )
    return tuple(ColumnType(name=c.name, type=faithful_type(con, c.type)) for c in columns)


def _objects(paths: Sequence[Path], directory: Path) -> list[Path]:
    """Copies of files with the lines alone that are objects, without byte order marks."""
    copies = [directory / f"{number}.jsonl" for number in range(len(paths))]
    for path, copy in zip(paths, copies, strict=True):
        with copy.open("wb") as out:
            lines = (line.content for line in numbered_lines([path], [path.name]))
            out.writelines(line + b"\n" for line in lines if line.lstrip().startswith(b"{"))
    return copies


def _has_object(con: DuckDBPyConnection, paths: Sequence[Path], layout: str) -> bool:
    """Whether any sampled row is an object; DuckDB reads other values as a column named json."""
    how = "ignore_errors=true, " if layout == LAYOUT["jsonl"] else ""
    rows = (
        f"read_json_objects({file_list(paths)}, format='{layout}', {how}maximum_object_size={LARGEST_OBJECT})"
    )
    kinds = con.execute(f"select distinct json_type(json) from (from {rows} limit {SAMPLE})").fetchall()  # noqa: S608
    return ("OBJECT",) in kinds


def read_line_by_line(reading: Reading, lines: Iterable[Line]) -> tuple[BadRow, ...]:
    """After a failure: the table of every row that can be read, and an account of the others."""
    clean, tried = reading.scratch / "clean.jsonl", reading.scratch / "tried.jsonl"
    with clean.open("wb") as file:
        judge = JsonJudge(reading.con, lambda path: rows_of(LAYOUT["jsonl"], [path], reading.columns))
        bad = tuple(BadLines(judge, tried, file).search(lines))
    if bad or any(map(is_marked, reading.paths)):
        reading.fill(rows_of(LAYOUT["jsonl"], [clean], reading.columns))
    clean.unlink()
    tried.unlink(missing_ok=True)
    return bad


class Jsonl:
    """Lines are read as they stand; a line that cannot be is named by file and number."""

    def settle(self, name: str, declared: SourceFiles, paths: Sequence[Path]) -> Settled:
        """The columns, where the recipe states them."""
        del name, paths
        return stated_columns(declared)

    def columns(
        self, con: DuckDBPyConnection, step: SourceStep, paths: Sequence[Path]
    ) -> tuple[ColumnType, ...]:
        """The stated columns, or those of all rows. Raises SourceError and duckdb.Error."""
        known = stated(step)
        if known:
            return tuple(ColumnType(name=name, type=type_) for name, type_ in known.items())
        columns = json_columns(con, step, paths, LAYOUT["jsonl"])
        if [column.name for column in columns] != ["json"] and not any(map(is_marked, paths)):
            return columns
        with TemporaryDirectory() as directory:
            return json_columns(con, step, _objects(paths, Path(directory)), LAYOUT["jsonl"])

    def read(self, reading: Reading) -> tuple[BadRow, ...]:
        """All rows, file by file. Raises duckdb.Error and OSError."""
        import duckdb

        try:
            reading.fill(rows_of(LAYOUT["jsonl"], reading.paths, reading.columns))
        except duckdb.Error as error:
            reading.still_possible(error)
            bad = read_line_by_line(reading, numbered_lines(reading.paths, reading.names))
            if not bad and not any(map(is_marked, reading.paths)):
                raise
            return bad
        return ()


KIND: Kind = Jsonl()
