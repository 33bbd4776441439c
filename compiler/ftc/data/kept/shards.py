"""Compiled rows on disk: Parquet shards written as they fill, byte-identical on every run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ftc.data.columns import flags, lists, natural_numbers, numbers, strings
from ftc.data.packing.sizes import Sizes
from ftc.data.ragged import offsets_of
from ftc.data.work.batch import Batch
from ftc.lints.on_disk import GrowingColumn
from ftc.plan.steps import FileDigest, Part, Shard

if TYPE_CHECKING:
    import pyarrow as pa

SHARD_TOKENS = 8 << 20
SHARD_ROWS = 100_000
GROUP_ROWS = 4096
"""Rows of a row group, which is what a reader has in memory."""

OPTIONS: dict[str, Any] = {
    "compression": "zstd",
    "use_dictionary": False,
    "column_encoding": {"input_ids.list.element": "BYTE_STREAM_SPLIT"},
    "write_statistics": False,
}
MOST_LABELS = 64


def shard_schema(*, members: bool = False, carried: bool = False) -> pa.Schema:
    """The columns of a shard; `prompt_length` and `target` are null where there is no answer.

    Rows of several `members` have the tokens of each in `lengths`; what is `carried` is a JSON object.
    """
    import pyarrow as pa

    fields = [
        pa.field("id", pa.string(), nullable=False),
        pa.field("input_ids", pa.list_(pa.int32()), nullable=False),
        pa.field("mask", pa.list_(pa.bool_()), nullable=False),
        pa.field("prompt_length", pa.int32()),
        pa.field("target", pa.string()),
    ]
    fields += [pa.field("lengths", pa.list_(pa.int32()), nullable=False)] if members else []
    fields += [pa.field("carried", pa.string(), nullable=False)] if carried else []
    return pa.schema(fields)


def _table(batches: Sequence[Batch]) -> pa.Table:
    """Compiled rows as an Arrow table, each column in one piece."""
    import pyarrow as pa

    offsets = offsets_of(np.concatenate([np.diff(batch.offsets) for batch in batches])).astype(np.int32)
    columns = [
        strings([id_ for batch in batches for id_ in batch.ids]),
        lists(numbers(np.concatenate([batch.tokens for batch in batches])), offsets),
        lists(flags(np.concatenate([batch.mask for batch in batches])), offsets),
        natural_numbers(np.concatenate([batch.prompt_lengths for batch in batches])),
        strings([target for batch in batches for target in batch.targets]),
    ]
    members, carried = (getattr(batches[0], name) is not None for name in ("member_lengths", "carried"))
    if members:
        columns.append(_members(batches))
    if carried:
        columns.append(strings([one for batch in batches for one in batch.carried or ()]))
    return pa.Table.from_arrays(columns, schema=shard_schema(members=members, carried=carried))


def _members(batches: Sequence[Batch]) -> pa.Array:
    """The tokens of the members of each row, as many of each."""
    flat = np.concatenate([batch.member_lengths for batch in batches if batch.member_lengths is not None])
    rows = sum(map(len, batches))
    offsets = np.arange(rows + 1, dtype=np.int32) * (len(flat) // rows)
    return lists(numbers(flat.astype(np.int32)), offsets)


def class_of(carried: str) -> str:
    """The class of a row, of what it carries."""
    return str(json.loads(carried)["label"])


@dataclass(slots=True)
class _Counts:
    rows: int = 0
    tokens: int = 0
    trained: int = 0
    longest: int = 0
    shortest: int = 0
    longest_answer: int = 0
    classes: Counter[str] = field(default_factory=Counter)

    def add(self, batch: Batch) -> None:
        lengths = batch.longest_members
        shortest = int(lengths.min())
        self.shortest = min(self.shortest, shortest) if self.rows else shortest
        self.rows += len(batch)
        self.tokens += len(batch.tokens)
        self.trained += int(batch.mask.sum())
        self.longest = max(self.longest, int(lengths.max()))
        self.longest_answer = max(self.longest_answer, int(batch.answer_lengths.max()))


class _Labels:
    """The distinct answers, as long as they may be a closed set."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()
        self._open = False

    def add(self, target: str | None) -> None:
        if self._open or target is None:
            self._open = True
            return
        self._seen[target] += 1
        if len(self._seen) > MOST_LABELS:
            self._open = True
            self._seen.clear()

    @property
    def closed(self) -> tuple[str, ...] | None:
        """The sorted answers if they are few and each occurs more than once."""
        few = self._seen and not self._open and min(self._seen.values()) > 1
        return tuple(sorted(self._seen)) if few else None


def _written(path: Path, batches: Sequence[Batch]) -> Shard:
    """A shard of the batches; raises OSError."""
    import pyarrow.parquet as pq

    pq.write_table(_table(batches), path, row_group_size=GROUP_ROWS, **OPTIONS)
    with path.open("rb") as file:
        sha256 = file_digest(file, "sha256").hexdigest()
    digest = FileDigest(name=path.name, bytes=path.stat().st_size, sha256=sha256)
    return Shard(file=digest, rows=sum(map(len, batches)))


class PartWriter:
    """Writes one side of the split as `NAME-00000.parquet` and so on; raises OSError.

    A shard is written in a thread while the next one fills, so that rows do not wait for it.
    """

    def __init__(self, directory: Path, name: str, *, classified: bool = False) -> None:
        self._directory, self._name = directory, name
        self._classified = classified
        self._shards: list[Shard] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ftc-shards")
        self._writing: Future[Shard] | None = None
        self._begun = 0
        self._waiting: list[Batch] = []
        self._rows = self._tokens = 0
        self._lengths, self._copies = (GrowingColumn(directory, np.int32) for _ in range(2))
        self._labels = _Labels()
        self.counts = _Counts()

    def add(self, batch: Batch) -> None:
        """Append rows; a shard ends after the row that fills it."""
        if not len(batch):
            return
        self.counts.add(batch)
        if self._classified:
            self.counts.classes.update(class_of(one) for one in batch.carried or ())
        self._lengths.add(batch.longest_members)
        self._copies.add(batch.copies)
        for target in batch.targets:
            self._labels.add(target)
        while (end := self._fills(batch)) is not None:
            first, batch = batch.split(end)
            self._hold(first)
            self._flush()
        self._hold(batch)

    def _hold(self, batch: Batch) -> None:
        if len(batch):
            self._waiting.append(batch)
            self._rows += len(batch)
            self._tokens += len(batch.tokens)

    def _fills(self, batch: Batch) -> int | None:
        """How many of the rows fill the shard, or None where all of them leave room."""
        by_rows = max(SHARD_ROWS - self._rows, 1)
        by_tokens = int(batch.offsets.searchsorted(SHARD_TOKENS - self._tokens))
        end = min(by_rows, by_tokens)
        return end if end <= len(batch) else None

    def _flush(self) -> None:
        """Begin to write the shard; the one before has been written then."""
        self._settle()
        path = self._directory / f"{self._name}-{self._begun:05d}.parquet"
        self._writing = self._thread.submit(_written, path, self._waiting)
        self._begun += 1
        self._waiting, self._rows, self._tokens = [], 0, 0

    def _settle(self) -> None:
        """Wait for the shard that is being written; raises what went wrong with it."""
        writing, self._writing = self._writing, None
        if writing is not None:
            self._shards.append(writing.result())

    def abandon(self) -> None:
        """Write no more: nothing of what is there will be used."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The closed set of answers, if there is one."""
        return self._labels.closed

    @property
    def sizes(self) -> Sizes:
        """Of each row, in order, how long it is and how often one pass uses it."""
        return Sizes(self._lengths.read(), self._copies.read())

    def close(self) -> Part:
        """Write what is left; the part as the plan has it."""
        if self._rows:
            self._flush()
        self._settle()
        self._thread.shutdown()
        return Part(
            shards=tuple(self._shards),
            rows=self.counts.rows,
            tokens=self.counts.tokens,
            trained_tokens=self.counts.trained,
            longest=self.counts.longest,
            shortest=self.counts.shortest,
            repeats=self.sizes.repeats,
        )


@dataclass(frozen=True, slots=True)
class CompiledRow:
    """A row as it is in a shard; `lengths` are the tokens of its members, where it has several."""

    id: str
    input_ids: tuple[int, ...]
    mask: tuple[bool, ...]
    prompt_length: int | None
    target: str | None
    lengths: tuple[int, ...] = ()
    carried: str | None = None

    @classmethod
    def of(cls, row: dict[str, Any]) -> CompiledRow:
        """A row as Arrow gives it."""
        for name in ("input_ids", "mask", "lengths"):
            if name in row:
                row[name] = tuple(row[name])
        return cls(**row)


def _batches(directory: Path, part: Part) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    for shard in part.shards:
        with pq.ParquetFile(directory / shard.file.name) as file:
            yield from file.iter_batches(GROUP_ROWS)


def _rows(batch: pa.RecordBatch) -> Iterator[CompiledRow]:
    for row in batch.to_pylist():
        yield CompiledRow.of(row)


def read_rows(directory: Path, part: Part) -> Iterator[CompiledRow]:
    """The compiled rows of a part in order, a row group in memory at a time."""
    for batch in _batches(directory, part):
        yield from _rows(batch)


def find_rows(directory: Path, part: Part, ids: Sequence[str]) -> dict[str, CompiledRow]:
    """Some compiled rows by their ids; those that are not in the part are missing from the result."""
    import pyarrow.compute as pc

    wanted = strings(ids)
    found = (
        row
        for batch in _batches(directory, part)
        for row in _rows(batch.filter(pc.is_in(batch.column("id"), wanted)))
    )
    return {row.id: row for row in found}
