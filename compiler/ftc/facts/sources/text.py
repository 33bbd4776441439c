"""Text and Markdown: documents cut out of files by a rule, each with its file, its part and its heading."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import JsonValue

from ftc.facts.arrow_arrays import integers, texts
from ftc.facts.sources.base import BATCH, BadRow, Kind, Reading, Settled
from ftc.facts.sources.chunks import Chunk, Rule, chunks
from ftc.facts.sources.packed import open_bytes
from ftc.plan.steps import ColumnType, SourceStep
from ftc.recipe.rows import SourceFiles

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

COLUMNS = (("text", "VARCHAR"), ("file", "VARCHAR"), ("part", "BIGINT"), ("heading", "VARCHAR"))
PYTHON_ENCODING = {"utf-8": "utf-8-sig", "utf-16": "utf-16", "latin-1": "latin-1"}
BLOCK = 1 << 20
EMPTY = "the file has nothing but white space"
LARGEST_BATCH = 8 << 20
"""Characters of text that are in memory together, as far as one document is not longer."""

Row = tuple[str, Chunk, int]
"""A file's name, one of its documents, and the number of that (from 1)."""


class Text:
    """A document is a row; a file in another encoding, or without text, is left out as a whole."""

    def settle(self, name: str, declared: SourceFiles, paths: Sequence[Path]) -> Settled:
        """The encoding, and the rule by which documents are cut."""
        del name, paths
        stated = declared.chunk
        rule = Rule(stated.by, stated.characters) if stated else Rule()
        chunk: dict[str, JsonValue] = {"by": rule.by}
        if rule.characters is not None:
            chunk["characters"] = rule.characters
        return Settled({"encoding": declared.encoding or "utf-8", "chunk": chunk}, {"chunk": str(rule)})

    def columns(
        self, con: DuckDBPyConnection, step: SourceStep, paths: Sequence[Path]
    ) -> tuple[ColumnType, ...]:
        """The same for every text."""
        del con, step, paths
        return tuple(ColumnType(name=name, type=type_) for name, type_ in COLUMNS)

    def read(self, reading: Reading) -> tuple[BadRow, ...]:
        """All documents, file by file. Raises duckdb.Error and OSError."""
        import pyarrow as pa

        types = {"VARCHAR": pa.string(), "BIGINT": pa.int64()}
        schema = pa.schema([(name, types[type_]) for name, type_ in COLUMNS])
        bad: list[BadRow] = []
        reading.stream(schema, _batches(reading, schema, bad))
        return tuple(bad)


KIND: Kind = Text()


def _batches(reading: Reading, schema: pa.Schema, bad: list[BadRow]) -> Iterator[pa.RecordBatch]:
    rows: list[Row] = []
    size = 0
    for row in _rows(reading, bad):
        rows.append(row)
        size += len(row[1].text)
        if len(rows) == BATCH or size > LARGEST_BATCH:
            yield _batch(rows, schema)
            rows, size = [], 0
    if rows:
        yield _batch(rows, schema)


def _batch(rows: Sequence[Row], schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    columns = [
        texts([chunk.text for _, chunk, _ in rows]),
        texts([name for name, _, _ in rows]),
        integers([part for _, _, part in rows]),
        texts([chunk.heading for _, chunk, _ in rows]),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _rows(reading: Reading, bad: list[BadRow]) -> Iterator[Row]:
    options = cast("dict[str, Any]", reading.step.options)
    encoding = str(options["encoding"])
    rule = Rule(**options["chunk"])
    for path, name in zip(reading.paths, reading.names, strict=True):
        wrong = _not_decodable(path, name, encoding)
        if wrong is not None:
            bad.append(wrong)
            continue
        part = 0
        with open_bytes(path) as file:
            lines = io.TextIOWrapper(file, encoding=PYTHON_ENCODING[encoding], newline="")
            for part, chunk in enumerate(chunks(lines, rule), 1):
                yield name, chunk, part
        if not part:
            bad.append(BadRow(None, name, "", EMPTY, "filtered"))


def _not_decodable(path: Path, name: str, encoding: str) -> BadRow | None:
    """The account of a file that is not in its encoding; None for one that is."""
    decoder = codecs.getincrementaldecoder(PYTHON_ENCODING[encoding])()
    line = 1
    with open_bytes(path) as file:
        try:
            while block := file.read(BLOCK):
                line += decoder.decode(block).count("\n")
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            line += error.object[: error.start].count(b"\n")
            reason = f"the file is not {encoding}: {_culprit(error)}; all of it is left out"
            return BadRow(None, f"{name}:{line}", "FTC211", reason)
    return None


def _culprit(error: UnicodeDecodeError) -> str:
    return f"byte 0x{error.object[error.start]:02x}" if error.start < len(error.object) else error.reason
