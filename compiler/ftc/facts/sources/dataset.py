"""A data set as `datasets` saves it to disk: Arrow shards in the order of its state, or of its indices."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.facts.sources.arrow import (
    aligned,
    batches_of,
    duckdb_columns,
    first_line,
    joined_schema,
    schema_of,
)
from ftc.facts.sources.base import BATCH, BadRow, Kind, Reading, Settled, SourceError, UnreadableSource
from ftc.plan.steps import ColumnType, SourceStep
from ftc.recipe.rows import SourceFiles
from ftc.recipe.suggest import did_you_mean, listed

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

STATE, SPLITS = "state.json", "dataset_dict.json"
SHARDS = "_data_files"
INDICES = ("_indices_files", "_indices_data_files")
"""Keys of the state: the shards in order, and the files with the rows' numbers where rows are chosen."""


def is_saved(directory: Path) -> bool:
    """Whether `save_to_disk` wrote a directory."""
    return (directory / STATE).is_file() or (directory / SPLITS).is_file()


def file_names(source: str, directory: Path, split: str | None) -> list[str]:
    """The files of the data set, or of one of its splits: the state first. Raises SourceError."""
    if not is_saved(directory):
        raise SourceError(
            f"the source `{source}` is no saved data set: it has no {STATE}",
            ("save it with `save_to_disk`", "or name its files with a glob"),
            code="FTC201",
        )
    inside = _split(source, directory, split)
    state = _json(source, directory / inside / STATE)
    names = [entry["filename"] for key in (SHARDS, *INDICES) for entry in state.get(key) or ()]
    missing = [name for name in names if not (directory / inside / name).is_file()]
    if missing:
        raise SourceError(f"the source `{source}` is not whole: {listed(missing)} is missing", code="FTC201")
    return [f"{inside}/{name}" if inside else name for name in (STATE, *dict.fromkeys(names))]


def split_names(source: str, directory: Path) -> list[str]:
    """The splits of a saved data set; none where it is one by itself. Raises SourceError."""
    if not (directory / SPLITS).is_file():
        return []
    return [str(name) for name in _json(source, directory / SPLITS)["splits"]]


def _split(source: str, directory: Path, wanted: str | None) -> str:
    """The directory of the split that is wanted, or of the only one; empty where there are none."""
    if not (directory / SPLITS).is_file():
        if wanted is not None:
            message = f"the source `{source}` has no splits: it is a data set by itself"
            raise SourceError(message, ("remove `split`",), code="FTC107", key="split")
        return ""
    splits = split_names(source, directory)
    if wanted is None and len(splits) == 1:
        return splits[0]
    if wanted is None:
        raise SourceError(
            f"the source `{source}` has several splits: {listed(splits)}",
            (f'say which: {source} = {{ path = "…", split = "{splits[0]}" }}',),
            code="FTC106",
        )
    if wanted not in splits:
        message = f"the source `{source}` has no split `{wanted}`"
        notes = (f"its splits are {listed(splits)}",)
        raise SourceError(message, did_you_mean(wanted, splits), notes=notes, code="FTC201", key="split")
    return wanted


def _json(source: str, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        value = None
    if not isinstance(value, dict) or not (SHARDS in value or "splits" in value):
        raise SourceError(f"{path.name} of the source `{source}` is not what `save_to_disk` writes")
    return value


def _state(name: str, paths: Sequence[Path]) -> dict[str, Any]:
    return _json(name, paths[0])


def _parts(state: dict[str, Any], paths: Sequence[Path], *keys: str) -> list[Path]:
    """The files that the state names under some keys, in its order."""
    at = {path.name: path for path in paths}
    return [at[Path(entry["filename"]).name] for key in keys for entry in state.get(key) or ()]


class SavedDataset:
    """A row is what the data set gives at that place, also where it was shuffled, filtered or selected."""

    def settle(self, name: str, declared: SourceFiles, paths: Sequence[Path]) -> Settled:
        """The split, where there are several."""
        del name
        split = declared.split or (paths[0].parent.name if (paths[0].parents[1] / SPLITS).is_file() else None)
        if split is None:
            return Settled()
        return Settled({"split": split}, {} if declared.split else {"split": "the data set has no other"})

    def columns(
        self, con: DuckDBPyConnection, step: SourceStep, paths: Sequence[Path]
    ) -> tuple[ColumnType, ...]:
        """The columns of all shards. Raises SourceError, OSError and duckdb.Error."""
        return duckdb_columns(con, _schema(step.name, _parts(_state(step.name, paths), paths, SHARDS)))

    def read(self, reading: Reading) -> tuple[BadRow, ...]:
        """All rows in their order. Raises UnreadableSource, OSError and duckdb.Error."""
        state = _state(reading.step.name, reading.paths)
        shards = _parts(state, reading.paths, SHARDS)
        chosen = _parts(state, reading.paths, *INDICES)
        schema = _schema(reading.step.name, shards)
        batches = _chosen(shards, chosen, schema) if chosen else _all(shards, schema)
        reading.stream(schema, _named(reading, batches))
        return ()


KIND: Kind = SavedDataset()


def _schema(source: str, shards: Sequence[Path]) -> pa.Schema:
    if not shards:
        raise SourceError(f"the source `{source}` has no rows: its data set has no shard")
    return joined_schema(source, [(path, schema_of(path)) for path in shards])


def _all(shards: Sequence[Path], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    return (aligned(batch, schema) for path in shards for batch in batches_of(path))


def _chosen(shards: Sequence[Path], indices: Sequence[Path], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows that the indices name, in their order; the shards stay mapped and are not read as a whole."""
    import pyarrow as pa

    table = pa.Table.from_batches(_all(shards, schema), schema=schema)
    for path in indices:
        for batch in batches_of(path):
            taken = table.take(batch.column(0)).combine_chunks()
            yield from taken.to_batches(max_chunksize=BATCH)


def _named(reading: Reading, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    try:
        yield from batches
    except (pa.ArrowException, OSError, IndexError) as error:
        raise UnreadableSource(reading.step.name, f"a shard is damaged: {first_line(error)}") from error
