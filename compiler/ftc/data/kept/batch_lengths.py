"""The lengths by which the work of a plan's batches is counted, read from its compiled rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ftc.data.columns import list_numbers, list_offsets
from ftc.data.kept.shards import GROUP_ROWS
from ftc.data.packing.sizes import Sizes
from ftc.estimate.batches import Heldout, Lengths
from ftc.plan.steps import DataStep, Part

if TYPE_CHECKING:
    import pyarrow as pa

Int64 = NDArray[np.int64]


class _Rows(NamedTuple):
    """Of some rows the tokens, those before the answer (0: none), where the loss lies, and the answers."""

    lengths: Int64
    prompts: Int64
    first: Int64
    end: Int64
    targets: list[str | None]


def batch_lengths(
    directory: Path, sequences: Path | None, data: DataStep, labels: Sequence[str] = ()
) -> Lengths:
    """What training and evaluation put into batches; `sequences` has the file of packed or repeated rows.

    Raises OSError and ValueError.
    """
    rows, per_sequence = _training(directory, sequences, data)
    held = list(_read(directory, data.eval)) if data.eval is not None else []
    return Lengths(
        rows=rows,
        sequences=per_sequence,
        heldout=_heldout(held) if held else None,
        labels=_label_lengths(directory, data, held, labels),
    )


def _training(directory: Path, sequences: Path | None, data: DataStep) -> tuple[Int64, Int64 | None]:
    import pyarrow.parquet as pq

    lengths = _lengths(directory, data)
    if data.sequences is None or sequences is None:
        return lengths.astype(np.int64), None
    column = pq.read_table(sequences / data.sequences.file.name).column(0).combine_chunks()
    numbers, offsets = list_numbers(column)
    rows = lengths[numbers].astype(np.int64)
    return rows, np.diff(offsets).astype(np.int64) if data.sequences.capacity is not None else None


def _lengths(directory: Path, data: DataStep) -> NDArray[np.int32]:
    """Tokens of each training row: as they were kept, or counted from the shards, which a run has alone."""
    try:
        return Sizes.read(directory).lengths
    except FileNotFoundError:
        return row_lengths(directory, data.train)


def row_lengths(directory: Path, part: Part) -> NDArray[np.int32]:
    """Tokens of each row of a part, from its shards; of several members the longest. Raises OSError."""
    import pyarrow.parquet as pq

    found = [np.zeros(0, np.int64)]
    for shard in part.shards:
        with pq.ParquetFile(directory / shard.file.name) as file:
            name = "lengths" if "lengths" in file.schema_arrow.names else "mask"
            batches = file.iter_batches(GROUP_ROWS, columns=[name])
            tokens = _longest if name == "lengths" else _tokens
            found += [tokens(batch.column(0)) for batch in batches]
    return np.concatenate(found).astype(np.int32)


def _tokens(column: pa.ListArray) -> Int64:
    return np.diff(list_offsets(column)).astype(np.int64)


def _longest(column: pa.ListArray) -> Int64:
    """Of rows of several members the tokens of the longest."""
    found: Int64 = list_numbers(column)[0].reshape(len(column), -1).max(axis=1).astype(np.int64)
    return found


def _read(directory: Path, part: Part) -> Iterator[_Rows]:
    import pyarrow.parquet as pq

    for shard in part.shards:
        with pq.ParquetFile(directory / shard.file.name) as file:
            more = ["lengths"] if "lengths" in file.schema_arrow.names else []
            for batch in file.iter_batches(GROUP_ROWS, columns=["mask", "prompt_length", "target", *more]):
                yield _rows(batch)


def _rows(batch: pa.RecordBatch) -> _Rows:
    """The rows of a batch; of those with several members the longest, and the loss of the first."""
    mask, prompts, targets, *several = batch.columns
    offsets = list_offsets(mask).astype(np.int64)
    flags = mask.values
    bits = np.unpackbits(np.frombuffer(flags.buffers()[1], np.uint8), bitorder="little")
    trained = np.flatnonzero(bits[flags.offset : flags.offset + len(flags)])
    lengths, ends = np.diff(offsets), offsets[1:]
    if several:
        members = list_numbers(several[0])[0].reshape(len(mask), -1).astype(np.int64)
        lengths, ends = members.max(axis=1), offsets[:-1] + members[:, 0]
    before, behind = np.searchsorted(trained, offsets[:-1]), np.searchsorted(trained, ends)
    some = behind > before
    first, end = np.zeros((2, len(mask)), dtype=np.int64)
    first[some] = trained[before[some]] - offsets[:-1][some]
    end[some] = trained[behind[some] - 1] + 1 - offsets[:-1][some]
    answers: list[str | None] = targets.to_pylist()
    asked = [
        length if length is not None and target is not None else 0
        for length, target in zip(prompts.to_pylist(), answers, strict=True)
    ]
    return _Rows(lengths, np.array(asked, dtype=np.int64), first, end, answers)


def _heldout(held: Sequence[_Rows]) -> Heldout:
    lengths, prompts, first, end = (np.concatenate([part[field] for part in held]) for field in range(4))
    return Heldout(lengths=lengths, prompts=prompts, first=first, end=end)


def _label_lengths(
    directory: Path, data: DataStep, held: Sequence[_Rows], labels: Sequence[str]
) -> tuple[int, ...]:
    """Tokens of each label, as a row answers with it; where none does, those of the longest answer."""
    wanted = {label.strip() for label in labels}
    found: dict[str, int] = {}
    for rows in chain(held, _read(directory, data.train)):
        if found.keys() >= wanted:
            break
        answers = [(target or "").strip() for target in rows.targets]
        lengths = zip(answers, rows.prompts.tolist(), (rows.end - rows.prompts).tolist(), strict=True)
        for label, prompt, length in lengths:
            if prompt and label in wanted:
                found.setdefault(label, length)
    return tuple(found.get(label.strip(), data.longest_target + 1) for label in labels)
