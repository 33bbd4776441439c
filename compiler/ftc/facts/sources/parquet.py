"""Parquet: DuckDB's own reader; of several files the columns are joined by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.facts.sources.base import BadRow, Kind, Reading, Settled
from ftc.facts.sources.sql import described, file_list
from ftc.plan.steps import ColumnType, SourceStep
from ftc.recipe.rows import SourceFiles

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def _table(paths: Sequence[Path]) -> str:
    return f"read_parquet({file_list(paths)}, union_by_name=true, hive_partitioning=false)"


class Parquet:
    """The footers say the columns; a damaged file cannot be read at all."""

    def settle(self, name: str, declared: SourceFiles, paths: Sequence[Path]) -> Settled:
        """Nothing is left open."""
        del name, declared, paths
        return Settled()

    def columns(
        self, con: DuckDBPyConnection, step: SourceStep, paths: Sequence[Path]
    ) -> tuple[ColumnType, ...]:
        """The columns of all files. Raises duckdb.Error."""
        del step
        return described(con, _table(paths))

    def read(self, reading: Reading) -> tuple[BadRow, ...]:
        """All rows, file by file. Raises duckdb.Error."""
        reading.fill(_table(reading.paths))
        return ()


KIND: Kind = Parquet()
