"""The columns of sources, remembered by their content so that the same files are looked at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.facts.cache import Cache, cache_key, code_digest
from ftc.facts.sources.base import SourceError, kind
from ftc.facts.sources.packed import DamagedFile
from ftc.plan.steps import ColumnType, SourceStep

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

CODE = ("facts/json_types.py", "facts/sources")


def source_columns(
    con: DuckDBPyConnection, step: SourceStep, paths: Sequence[Path], cache: Cache | None = None
) -> tuple[ColumnType, ...]:
    """Names and DuckDB types of a source's columns. Raises SourceError, OSError and duckdb.Error."""
    if not step.files:
        return _looked_at(con, step, paths)
    cache = cache or Cache()
    inputs = step.model_dump(mode="json", exclude={"location", "name"})
    key = cache_key("columns", inputs, {"duckdb": version("duckdb")}, code=code_digest(*CODE))
    known = cache.recall("columns", key)
    if known is not None:
        return tuple(ColumnType(name=name, type=type_) for name, type_ in json.loads(known))
    found = _looked_at(con, step, paths)
    cache.remember("columns", key, json.dumps([[column.name, column.type] for column in found]).encode())
    return found


def _looked_at(con: DuckDBPyConnection, step: SourceStep, paths: Sequence[Path]) -> tuple[ColumnType, ...]:
    try:
        columns = kind(step.format).columns(con, step, paths)
    except DamagedFile as error:
        raise SourceError(f"the source `{step.name}`: {error}") from error
    if not columns:
        raise SourceError(f"the source `{step.name}` has no columns")
    return columns
