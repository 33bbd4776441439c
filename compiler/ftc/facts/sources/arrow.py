"""Arrow and Feather: IPC files and streams, mapped into memory and handed on batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.facts.sources.base import BATCH, BadRow, Kind, Reading, Settled, SourceError, UnreadableSource
from ftc.plan.steps import ColumnType, SourceStep
from ftc.recipe.rows import SourceFiles

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

MAGIC = b"ARROW1"
CONTINUED = b"\xff\xff\xff\xff"
"""How a stream of batches begins."""

FEATHER_1 = b"FEA1"
OTHER = ("name the files that are", "or say what it is: format = …")


class Arrow:
    """The schema stands in the file; of several files the columns are joined by name."""

    def settle(self, name: str, declared: SourceFiles, paths: Sequence[Path]) -> Settled:
        """Nothing is left open."""
        del name, declared, paths
        return Settled()

    def columns(
        self, con: DuckDBPyConnection, step: SourceStep, paths: Sequence[Path]
    ) -> tuple[ColumnType, ...]:
        """The columns of all files. Raises SourceError, OSError and duckdb.Error."""
        return duckdb_columns(con, joined_schema(step.name, [(path, schema_of(path)) for path in paths]))

    def read(self, reading: Reading) -> tuple[BadRow, ...]:
        """All rows, file by file. Raises UnreadableSource, OSError and duckdb.Error."""
        schema = joined_schema(reading.step.name, [(path, schema_of(path)) for path in reading.paths])
        reading.stream(schema, _batches(reading, schema))
        return ()


KIND: Kind = Arrow()


def _batches(reading: Reading, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    for path, name in zip(reading.paths, reading.names, strict=True):
        try:
            yield from (aligned(batch, schema) for batch in batches_of(path))
        except (pa.ArrowException, OSError) as error:
            raise UnreadableSource(reading.step.name, f"{name} is damaged: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """What an error says, without the lines behind."""
    return str(error).partition("\n")[0].rstrip(". ")


@contextmanager
def _opened(path: Path) -> Iterator[pa.RecordBatchReader | pa.RecordBatchFileReader]:
    """A file or stream of batches. Raises ArrowInvalid, OSError and SourceError."""
    import pyarrow as pa

    with path.open("rb") as file:
        head = file.read(len(MAGIC))
    if head.startswith(FEATHER_1):
        raise SourceError(
            f"{path.name} is a Feather file of version 1",
            ("write it again: pyarrow.feather.write_feather(table, path)",),
        )
    if head != MAGIC and not head.startswith(CONTINUED):
        raise SourceError(f"{path.name} is no Arrow file", OTHER)
    with pa.memory_map(str(path)) as mapped:
        opened = pa.ipc.open_file(mapped) if head == MAGIC else pa.ipc.open_stream(mapped)
        with opened:
            yield opened


def schema_of(path: Path) -> pa.Schema:
    """The schema of a file, without reading a row. Raises SourceError and OSError."""
    import pyarrow as pa

    try:
        with _opened(path) as opened:
            return opened.schema
    except pa.ArrowException as error:
        message = f"{path.name} is no Arrow file: {first_line(error)}"
        raise SourceError(message, OTHER) from None


def batches_of(path: Path) -> Iterator[pa.RecordBatch]:
    """The batches of a file in order, cut to the size in which they are handed on. Raises ArrowException."""
    with _opened(path) as opened:
        stored = (
            (opened.get_batch(number) for number in range(opened.num_record_batches))
            if hasattr(opened, "get_batch")
            else opened
        )
        for batch in stored:
            for start in range(0, batch.num_rows, BATCH):
                yield batch.slice(start, BATCH)


def joined_schema(source: str, schemas: Sequence[tuple[Path, pa.Schema]]) -> pa.Schema:
    """One schema in which the rows of all files fit. Raises SourceError where there is none."""
    import pyarrow as pa

    joined = schemas[0][1].remove_metadata()
    for path, schema in schemas[1:]:
        try:
            joined = pa.unify_schemas([joined, schema.remove_metadata()], promote_options="permissive")
        except pa.ArrowException as error:
            raise SourceError(
                f"{path.name} of the source `{source}` has a column of another type than the files before: "
                f"{first_line(error)}",
                ("declare one source for each form, and join them in the query",),
            ) from None
    twice = sorted({name for name in joined.names if joined.names.count(name) > 1})
    if twice:
        raise SourceError(f"the source `{source}` has several columns named `{twice[0]}`")
    return joined


def aligned(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """A batch in a schema that holds its own; a column that it lacks is null. Raises ArrowException."""
    import pyarrow as pa

    if batch.schema.equals(schema):
        return batch
    at = {name: number for number, name in enumerate(batch.schema.names)}
    columns = [
        batch.column(at[field.name]).cast(field.type)
        if field.name in at
        else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def duckdb_columns(con: DuckDBPyConnection, schema: pa.Schema) -> tuple[ColumnType, ...]:
    """The columns as DuckDB has them. Raises duckdb.Error for types that it does not know."""
    import pyarrow as pa

    con.register("ftc schema", pa.RecordBatchReader.from_batches(schema, iter(())))
    try:
        rows = con.execute('describe select * from "ftc schema"').fetchall()
    finally:
        con.unregister("ftc schema")
    return tuple(ColumnType(name=row[0], type=row[1]) for row in rows)
