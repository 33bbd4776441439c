"""Training sequences: lists of rows from the plan's file, gathered from the rows mapped into memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ftc.artifact.files import sha256
from ftc.plan.steps import DataStep, Sequences
from ftc.runtime.failure import BuildError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]


class Gathered(NamedTuple):
    """Some rows end to end: their tokens and labels, and how many tokens each has."""

    tokens: Numbers
    labels: Numbers
    lengths: Numbers


class MappedRows:
    """The trainable rows, gathered by their numbers from a `datasets.Dataset` that maps a file."""

    def __init__(self, dataset: Any) -> None:
        self._rows = dataset.with_format("arrow")

    def __len__(self) -> int:
        return len(self._rows)

    def __call__(self, numbers: list[int]) -> Gathered:
        """The rows of these numbers, in this order."""
        import pyarrow.compute as pc

        table = self._rows[numbers].combine_chunks()
        tokens, labels = (table.column(name).combine_chunks() for name in ("input_ids", "labels"))
        lengths = pc.list_value_length(tokens).to_numpy().astype("int64")
        flat, flat_labels = (column.flatten().to_numpy().astype("int64") for column in (tokens, labels))
        return Gathered(flat, flat_labels, lengths)

    def lengths(self) -> Numbers:
        """Tokens of every row, in order."""
        import pyarrow.compute as pc

        column = self._rows.data.column("input_ids")
        lengths: Numbers = pc.list_value_length(column).to_numpy().astype("int64")
        return lengths


def verify(sequences: Sequences, data: Path) -> None:
    """Raise BuildError unless the file of sequences is the one the plan names."""
    path = data / sequences.file.name
    if not path.is_file() or sha256(path) != sequences.file.sha256:
        raise _changed(f"{sequences.file.name} differs or is missing")


def _changed(what: str) -> BuildError:
    return BuildError(
        "FTC706",
        f"the compiled data is not what the plan says: {what}",
        "run the same command again: the data is compiled anew",
    )


def training_set(step: DataStep, data: Path, rows: Any, target: Path) -> Any:
    """What one pass trains on: the rows themselves, or the plan's sequences of them.

    `rows` is the `datasets.Dataset` of the rows. A sequence has the columns rows and length (in tokens).
    Raises BuildError unless the sequences use every row as often as the plan says.
    """
    if step.sequences is None:
        return rows
    listed, tokens = _listed(step, data, MappedRows(rows).lengths())
    if step.sequences.capacity is None:
        return rows.select(listed.flatten().to_numpy(), keep_in_memory=True)
    return _written(listed, tokens, target)


def _listed(step: DataStep, data: Path, lengths: Numbers) -> tuple[Any, Numbers]:
    """The lists of row numbers as the file has them, and the tokens of each."""
    import numpy as np
    import pyarrow.parquet as pq

    sequences = step.sequences
    assert sequences is not None  # noqa: S101 - the caller has looked
    listed = pq.read_table(data / sequences.file.name).column("rows").combine_chunks()
    numbers, ends = listed.flatten().to_numpy(), listed.offsets.to_numpy()
    used = np.bincount(numbers, minlength=step.train.rows)
    if len(used) > len(lengths) or not used.all() or len(numbers) != sequences.rows:
        raise _changed("the sequences do not use every row as often as it says")
    before = np.concatenate([[0], np.cumsum(lengths[numbers])])
    tokens: Numbers = before[ends[1:]] - before[ends[:-1]]
    if len(tokens) != sequences.count or int(tokens.max()) != sequences.longest:
        raise _changed("the sequences have other lengths")
    return listed, tokens


def _written(listed: Any, tokens: Numbers, target: Path) -> Any:
    import pyarrow as pa
    from datasets import Dataset

    table = pa.table({"rows": listed, "length": pa.array(tokens)})
    with pa.OSFile(str(target), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return Dataset.from_file(str(target))
