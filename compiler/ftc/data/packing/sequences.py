"""The training sequences as a file: which rows each one holds, packed or one by one."""

from __future__ import annotations

from hashlib import file_digest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ftc.data.columns import list_numbers, lists, numbers
from ftc.data.packing.pack import Packs, pack
from ftc.data.packing.sizes import Sizes
from ftc.plan.steps import DataStep, FileDigest, Sequences

SEQUENCES = "sequences.parquet"
GROUP_SEQUENCES = 65_536


def lay_out(sizes: Sizes, capacity: int | None, directory: Path) -> Sequences:
    """Write the sequences of one pass over the rows: packed to a capacity, or one row each where it is None.

    Raises OSError.
    """
    rows = sizes.uses()
    lengths = sizes.lengths[rows]
    packs = pack(lengths, capacity) if capacity is not None else _one_by_one(lengths)
    _write(directory / SEQUENCES, rows[packs.rows], packs.offsets)
    return Sequences(
        file=_digest(directory / SEQUENCES),
        count=len(packs),
        rows=len(rows),
        tokens=packs.tokens,
        longest=packs.longest,
        capacity=capacity,
    )


def _one_by_one(lengths: NDArray[np.int32]) -> Packs:
    each, longest = np.arange(len(lengths) + 1, dtype=np.int64), int(lengths.max(initial=0))
    return Packs(each[:-1].astype(np.int32), each, longest, int(lengths.sum(dtype=np.int64)), longest)


def _write(path: Path, rows: NDArray[np.int32], offsets: NDArray[np.int64]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([pa.field("rows", pa.list_(pa.int32()), nullable=False)])
    table = pa.Table.from_arrays([lists(numbers(rows), offsets.astype(np.int32))], schema=schema)
    pq.write_table(
        table,
        path,
        row_group_size=GROUP_SEQUENCES,
        compression="zstd",
        use_dictionary=False,
        write_statistics=False,
    )


def _digest(path: Path) -> FileDigest:
    with path.open("rb") as file:
        sha256 = file_digest(file, "sha256").hexdigest()
    return FileDigest(name=path.name, bytes=path.stat().st_size, sha256=sha256)


def sequences_of(directory: Path, step: DataStep, row_number: int) -> list[tuple[int, list[int]]]:
    """The sequences that hold a training row, with their rows; none where rows train one by one.

    Sequences are numbered from 0, rows too, in the order of the shards. A repeated row is in several.
    """
    import pyarrow.parquet as pq

    if step.sequences is None:
        return []
    before, holding = 0, []
    with pq.ParquetFile(directory / step.sequences.file.name) as file:
        for batch in file.iter_batches(GROUP_SEQUENCES):
            rows, offsets = list_numbers(batch.column(0))
            found = np.flatnonzero(rows == row_number)
            inside = sorted(set((offsets.searchsorted(found, side="right") - 1).tolist()))
            holding += [(before + at, rows[offsets[at] : offsets[at + 1]].tolist()) for at in inside]
            before += batch.num_rows
    if not holding:
        raise ValueError(f"no sequence holds row {row_number}")
    return holding
