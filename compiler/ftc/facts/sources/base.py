"""What every kind of source shares: how it is described, read into DuckDB and accounted for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import JsonValue

from ftc.diagnostics import Finding
from ftc.facts.sandbox import disk_full, identifier, interruptible, is_full_disk
from ftc.plan.steps import Choice, ColumnType, SourceStep
from ftc.recipe.rows import SourceFiles

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

SAMPLE = 20_480
"""Rows from which the types of columns are told (JSONL: of each file)."""

BATCH = 8192
"""Rows that are handed to DuckDB together."""

LARGEST_OBJECT = 16 << 20
"""Bytes of the longest row of text; DuckDB keeps two of them for each thread."""

MEGABYTE = 1 << 20

Progress = Callable[[str, int, int | None], None]
"""A phase, how much of it is done, and how much there is: rows, or what its name ends with, as in `(MB)`."""


class SourceError(Exception):
    """A source does not fit what the recipe says of it: message, help, notes, a code.

    `key` is the option in the source's table that it is about; empty for the place it is read from.
    """

    def __init__(
        self,
        message: str,
        help_: tuple[str, ...] = (),
        *,
        notes: tuple[str, ...] = (),
        code: str = "FTC202",
        key: str = "",
    ) -> None:
        super().__init__(message)
        self.message, self.help, self.notes, self.code, self.key = message, help_, notes, code, key


class UnreadableSource(Exception):  # noqa: N818 - it names a finding
    """A source of which nothing can be read: its name and the reason."""

    def __init__(self, source: str, reason: str, help_: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.source, self.reason, self.help = source, reason, help_


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row of a source that is left out: its number (from 1) where it has one, its place, the reason.

    It cannot be read, unless `fate` says that there is nothing to read.
    """

    number: int | None
    place: str
    code: str
    reason: str
    fate: Literal["invalid", "filtered"] = "invalid"


@dataclass(frozen=True)
class ResolvedSource:
    """A source as the plan has it, and where its files are on this machine, in the same order.

    `choices` are what its table leaves open, `warnings` what is worth saying though it can be read.
    """

    step: SourceStep
    paths: tuple[Path, ...]
    choices: tuple[Choice, ...] = ()
    warnings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Settled:
    """Every option of a source with its value, and those that the recipe leaves open with their reasons."""

    options: Mapping[str, JsonValue] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reading:
    """A source on its way into a DuckDB file: the table has the source's name."""

    con: DuckDBPyConnection
    step: SourceStep
    paths: tuple[Path, ...]
    columns: tuple[ColumnType, ...]
    scratch: Path
    progress: Progress

    @property
    def names(self) -> tuple[str, ...]:
        """The files' names in messages, in order."""
        return tuple(file.name for file in self.step.files)

    def fill(self, table: str) -> None:
        """Make the table of what an SQL table expression yields, in that order. Raises duckdb.Error."""
        sql = f"create or replace table {identifier(self.step.name)} as from {table}"
        total = 1 + sum(path.stat().st_size for path in self.paths) // MEGABYTE

        def tick() -> None:
            self.progress(f"reading {self.step.name} (MB)", int(self._share() * total), total)

        interruptible(self.con, lambda: self.con.execute(sql), tick)

    def still_possible(self, error: duckdb.Error) -> None:
        """Go on after DuckDB failed, unless the disk is full, which is raised as OSError."""
        if is_full_disk(error):
            raise disk_full() from error

    def _share(self) -> float:
        return min(99.0, max(0.0, self.con.query_progress())) / 100

    def stream(self, schema: pa.Schema, batches: Iterator[pa.RecordBatch], total: int | None = None) -> None:
        """Make the table of Arrow batches, one in memory at a time; what they raise is raised here."""
        import duckdb
        import pyarrow as pa

        told = _Told(batches, lambda rows: self.progress(f"reading {self.step.name}", rows, total))
        self.con.register("ftc stream", pa.RecordBatchReader.from_batches(schema, told))
        sql = f'create or replace table {identifier(self.step.name)} as from "ftc stream"'
        try:
            interruptible(self.con, lambda: self.con.execute(sql))
        except duckdb.Error:
            if told.error is not None:
                raise told.error from None
            raise
        finally:
            self.con.unregister("ftc stream")


class _Told:
    """Batches that are counted as they pass, and keep what stopped them: DuckDB would make words of it."""

    def __init__(self, batches: Iterator[pa.RecordBatch], tell: Callable[[int], None]) -> None:
        self._batches, self._tell, self._rows = batches, tell, 0
        self.error: Exception | None = None

    def __iter__(self) -> _Told:
        return self

    def __next__(self) -> pa.RecordBatch:
        try:
            batch = next(self._batches)
        except (UnreadableSource, OSError) as error:
            self.error = error
            raise
        self._rows += batch.num_rows
        self._tell(self._rows)
        return batch


class Kind(Protocol):
    """How files of one kind are described and read."""

    def settle(self, name: str, declared: SourceFiles, paths: Sequence[Path]) -> Settled:
        """What the recipe leaves open, settled. Raises SourceError and OSError."""

    def columns(
        self, con: DuckDBPyConnection, step: SourceStep, paths: Sequence[Path]
    ) -> tuple[ColumnType, ...]:
        """Names and DuckDB types, of as little as tells them. Raises SourceError, OSError, duckdb.Error."""

    def read(self, reading: Reading) -> tuple[BadRow, ...]:
        """Make the table of the rows that can be read, in order; the others come back.

        Raises UnreadableSource, OSError and duckdb.Error.
        """


def kind(name: str) -> Kind:
    """The reader of a kind, a key of `recipe.source_kinds.KINDS`."""
    found: Kind = import_module(f"ftc.facts.sources.{name}").KIND
    return found
