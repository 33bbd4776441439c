"""What rows of the query came to when they were compiled: tokens, tokens with loss, compiled rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ftc.data.kept.ledger import CHANGED
from ftc.data.kept.shards import GROUP_ROWS
from ftc.plan.steps import Part

if TYPE_CHECKING:
    import pyarrow as pa

Float64 = NDArray[np.float64]
COUNTED = ("tokens", "loss", "rows")
"""The columns of `row_counts`."""


def row_counts(directory: Path, part: Part) -> Float64:
    """Counts of one side for each of the query's rows that is on it, shape (rows, 3); for a part of few rows.

    Examples that were one row before it was split or unrolled count as that row. Raises OSError.
    """
    parents = _parents(directory)
    rows: dict[str, int] = {}
    blocks = [
        (np.array([_row(id_, parents, rows) for id_ in ids], dtype=np.int64), counts)
        for ids, counts in _examples(directory, part)
    ]
    found = np.zeros((len(rows), len(COUNTED)))
    for places, counts in blocks:
        np.add.at(found, places, counts)
    return found


def _row(id_: str, parents: frozenset[str], rows: dict[str, int]) -> int:
    """The number of the row that an example was, before it was cut into pieces, and those again."""
    for _ in range(2):
        before = id_.rpartition("/")[0]
        id_ = before if before in parents else id_
    return rows.setdefault(id_, len(rows))


def _parents(directory: Path) -> frozenset[str]:
    import pyarrow.parquet as pq

    changed = pq.read_table(directory / CHANGED, columns=["id", "fate"]).to_pydict()
    pairs = zip(changed["id"], changed["fate"], strict=True)
    return frozenset(id_ for id_, fate in pairs if fate in ("split", "unrolled"))


def _examples(directory: Path, part: Part) -> Iterator[tuple[list[str], Float64]]:
    import pyarrow.parquet as pq

    for shard in part.shards:
        with pq.ParquetFile(directory / shard.file.name) as file:
            for batch in file.iter_batches(GROUP_ROWS, columns=["id", "mask"]):
                yield batch.column(0).to_pylist(), _counts(batch.column(1))


def _counts(mask: pa.ListArray) -> Float64:
    offsets = np.frombuffer(mask.buffers()[1], np.int32)[mask.offset : mask.offset + len(mask) + 1]
    flags = mask.values
    bits = np.unpackbits(np.frombuffer(flags.buffers()[1], np.uint8), bitorder="little")
    before = np.concatenate([[0], np.cumsum(bits[flags.offset : flags.offset + len(flags)], dtype=np.int64)])
    lengths = np.diff(offsets.astype(np.int64))
    return np.stack([lengths, np.diff(before[offsets]), np.ones(len(lengths))], axis=1).astype(np.float64)
