"""The compiled rows: Parquet shards become one memory-mapped table, in the shards' order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ftc.artifact.files import sha256
from ftc.plan.steps import Part
from ftc.runtime.failure import BuildError

IGNORED = -100
"""The label of a token that carries no loss, as PyTorch's cross-entropy has it."""

BATCH_ROWS = 4096


def verify(part: Part, data: Path) -> None:
    """Raise BuildError unless every shard is the one the plan names."""
    for shard in part.shards:
        path = data / shard.file.name
        if not path.is_file() or path.stat().st_size != shard.file.bytes or sha256(path) != shard.file.sha256:
            raise BuildError(
                "FTC706",
                f"the compiled data is not what the plan says: {shard.file.name} differs or is missing",
                "run the same command again: the data is compiled anew",
            )


def batches(part: Part, data: Path, columns: list[str]) -> Iterator[Any]:
    """Arrow record batches of all shards, in order."""
    import pyarrow.parquet as pq

    for shard in part.shards:
        with pq.ParquetFile(data / shard.file.name) as file:
            yield from file.iter_batches(BATCH_ROWS, columns=columns)


def _labels(input_ids: Any, mask: Any) -> Any:
    """Lists of labels: the token where the mask is set, else IGNORED. None predicts a row's first token."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pc.list_value_length(input_ids).to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    kept = mask.flatten().to_numpy(zero_copy_only=False)
    flat = np.where(kept, input_ids.flatten().to_numpy(), np.int32(IGNORED))
    flat[offsets[:-1]] = IGNORED
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat))


def write_trainable(part: Part, data: Path, target: Path) -> None:
    """Write the rows as the trainer takes them: Arrow, columns row, input_ids and labels.

    Rows with members have their `lengths` too, and what is carried with the tokens is in `carried`.
    """
    import pyarrow as pa

    schema = _trainable_schema(part, data)
    wanted = [name for name in schema.names if name not in ("row", "labels")]
    first = 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(target), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches(part, data, [*wanted, "mask"]):
            found = {name: batch.column(name).cast(schema.field(name).type) for name in wanted}
            found["row"] = pa.array(range(first, first + batch.num_rows), pa.int64())
            found["labels"] = _labels(found["input_ids"], batch.column("mask"))
            writer.write_batch(pa.record_batch([found[name] for name in schema.names], schema=schema))
            first += batch.num_rows


def _trainable_schema(part: Part, data: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    integers = pa.list_(pa.int32())
    there = pq.read_schema(data / part.shards[0].file.name).names
    more = [("lengths", integers), ("carried", pa.string())]
    fields = [("row", pa.int64()), ("input_ids", integers), ("labels", integers)]
    return pa.schema([*fields, *((name, kind) for name, kind in more if name in there)])


def trainable(part: Part, data: Path, target: Path) -> Any:
    """The training rows as a `datasets.Dataset` that maps `target` into memory."""
    from datasets import Dataset

    write_trainable(part, data, target)
    return Dataset.from_file(str(target))


def expected(part: Part, data: Path, rows: list[int]) -> dict[int, tuple[list[int], list[int]]]:
    """Tokens and labels of some rows by number, read from the shards themselves."""
    wanted, found, first = set(rows), dict[int, tuple[list[int], list[int]]](), 0
    for batch in batches(part, data, ["input_ids", "mask"]):
        for number in sorted(wanted & set(range(first, first + batch.num_rows))):
            ids = batch.column("input_ids")[number - first].as_py()
            mask = batch.column("mask")[number - first].as_py()
            labels = [token if kept else IGNORED for token, kept in zip(ids, mask, strict=True)]
            found[number] = ids, [IGNORED, *labels[1:]]
        first += batch.num_rows
    return found
