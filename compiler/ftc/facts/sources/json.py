"""JSON: files which are arrays of objects, streamed by DuckDB; or lines of objects in spite of their name."""

from __future__ import annotations

import codecs
import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ftc.facts.sources.base import (
    LARGEST_OBJECT,
    SAMPLE,
    BadRow,
    Kind,
    Reading,
    Settled,
    SourceError,
    UnreadableSource,
)
from ftc.facts.sources.json_array import SPACE, BrokenArray, element_lines
from ftc.facts.sources.jsonl import (
    LAYOUT,
    WANTED,
    Jsonl,
    json_columns,
    read_line_by_line,
    rows_of,
    stated_columns,
)
from ftc.facts.sources.packed import open_bytes
from ftc.facts.sources.sql import stated
from ftc.plan.steps import ColumnType, SourceStep
from ftc.recipe.rows import SourceFiles

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

LINES = "lines"
HEAD = 1 << 16
BROKEN = ("fetch or write the file again", "or cut it at the last whole element and close the array with `]`")


class Json:
    """An element of an array is a row; an array that is broken off cannot be read at all."""

    def settle(self, name: str, declared: SourceFiles, paths: Sequence[Path]) -> Settled:
        """Whether the files are arrays or lines, by their first characters. Raises SourceError."""
        options = dict(stated_columns(declared).options)
        layouts = {path: _layout(name, path) for path in paths}
        lines = [path for path, layout in layouts.items() if layout == LINES]
        if not lines:
            return Settled(options)
        if len(set(layouts.values()) - {""}) > 1:
            first = lines[0].name
            raise SourceError(
                f"the source `{name}` mixes arrays and lines: {first} has an object on each line",
                ("declare one source for each form",),
            )
        reason = "the file has an object on each line, though its name does not say so"
        return Settled({**options, "layout": LINES}, {"layout": reason})

    def columns(
        self, con: DuckDBPyConnection, step: SourceStep, paths: Sequence[Path]
    ) -> tuple[ColumnType, ...]:
        """The stated columns, or those of all rows. Raises SourceError and duckdb.Error."""
        import duckdb

        if _has_lines(step):
            return Jsonl().columns(con, step, paths)
        known = stated(step)
        if known:
            return tuple(ColumnType(name=name, type=type_) for name, type_ in known.items())
        try:
            return json_columns(con, step, paths, LAYOUT["json"])
        except duckdb.Error:
            return _columns_of_elements(con, step, paths)

    def read(self, reading: Reading) -> tuple[BadRow, ...]:
        """All rows, file by file. Raises UnreadableSource, duckdb.Error and OSError."""
        import duckdb

        if _has_lines(reading.step):
            return Jsonl().read(reading)
        try:
            reading.fill(rows_of(LAYOUT["json"], reading.paths, reading.columns))
        except duckdb.Error as error:
            reading.still_possible(error)
            try:
                bad = read_line_by_line(reading, element_lines(reading.paths, reading.names))
            except BrokenArray as broken:
                raise UnreadableSource(reading.step.name, broken.reason, BROKEN) from None
            if not bad:
                raise
            return bad
        return ()


KIND: Kind = Json()


def _has_lines(step: SourceStep) -> bool:
    return step.options.get("layout") == LINES


def _layout(name: str, path: Path) -> str:
    """`array` or `lines`; empty for a file with nothing in it. Raises SourceError and OSError."""
    with open_bytes(path) as file:
        first = file.readline(HEAD).removeprefix(codecs.BOM_UTF8)
        while first and not first.strip(SPACE):
            first = file.readline(HEAD)
        start = first.lstrip(SPACE)[:1]
        if start in (b"", b"["):
            return "array" if start else ""
        first += file.readline(LARGEST_OBJECT) if not first.endswith(b"\n") else b""
    try:
        value = json.loads(first)
    except ValueError:
        value = None
    if isinstance(value, dict):
        return LINES
    if start == b"{":
        raise SourceError(
            f"{path.name} of the source `{name}` is one JSON object, not an array of rows",
            (WANTED["json"], "write the array that is in it to a file of its own"),
        )
    raise SourceError(f"{path.name} of the source `{name}` is not JSON", (WANTED["json"],))


def _columns_of_elements(
    con: DuckDBPyConnection, step: SourceStep, paths: Sequence[Path]
) -> tuple[ColumnType, ...]:
    """The columns of the elements that are whole. Raises SourceError and duckdb.Error."""
    names = [file.name for file in step.files] or [path.name for path in paths]
    with TemporaryDirectory() as directory:
        samples = [Path(directory) / f"{number}.jsonl" for number in range(len(paths))]
        try:
            for path, name, sample in zip(paths, names, samples, strict=True):
                lines = islice(element_lines([path], [name]), SAMPLE)
                sample.write_bytes(b"".join(line.content + b"\n" for line in lines))
        except BrokenArray as broken:
            message = f"the source `{step.name}` is no whole JSON array: {broken.reason}"
            raise SourceError(message, BROKEN) from None
        return json_columns(con, step, samples, LAYOUT["jsonl"])
