"""Rows on their way through the compiler, in columns: as the query gives them, and compiled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pickle import PickleBuffer
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ftc.data.ragged import gather, offsets_of
from ftc.plan.account import Fate

if TYPE_CHECKING:
    import pyarrow as pa

    from ftc.data.tokens.gate import Samples
    from ftc.lints.features import Features

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
UInt8 = NDArray[np.uint8]
UInt64 = NDArray[np.uint64]

TRAIN, EVAL = 0, 1
"""The sides of the split as numbers."""

NO_PROMPT = -1
"""The length of the prompt of a row that has none."""


class Account(NamedTuple):
    """A line for the ledger: a row that goes, or one that is kept and was changed.

    `more` is the number of compiled rows it became beyond one.
    """

    id: str
    fate: Fate
    reason: str
    code: str = ""
    more: int = 0


@dataclass(slots=True)
class Rows:
    """Rows of one query's result that are to be compiled.

    `number` is the place of the first row among all rows, from 0. `columns` are the query's columns as
    Arrow has them; `sides` and `copies` are decided for each row.
    """

    ids: list[str]
    columns: pa.RecordBatch
    number: int
    sides: UInt8
    copies: Int32

    def __len__(self) -> int:
        return len(self.ids)

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process the columns go as Arrow's own bytes."""
        wire = _wire(self.columns)
        return _received, (self.ids, PickleBuffer(wire), self.number, self.sides, self.copies)

    def pieces(self, most: int) -> Iterator[Rows]:
        """The rows in batches of at most so many bytes, or of one row."""
        if self.columns.nbytes <= most or len(self) == 1:
            yield self
            return
        half = len(self) // 2
        for start, end in ((0, half), (half, len(self))):
            yield from self._slice(start, end).pieces(most)

    def _slice(self, start: int, end: int) -> Rows:
        return Rows(
            ids=self.ids[start:end],
            columns=self.columns.slice(start, end - start),
            number=self.number + start,
            sides=self.sides[start:end],
            copies=self.copies[start:end],
        )


def joined(rows: Iterable[Rows], most: int = 1024) -> Iterator[Rows]:
    """The same rows, where few of many go on, in batches of about so many."""
    waiting: list[Rows] = []
    for some in rows:
        waiting.append(some)
        if sum(map(len, waiting)) >= most:
            yield _together(waiting)
            waiting = []
    if waiting:
        yield _together(waiting)


def _together(parts: Sequence[Rows]) -> Rows:
    import pyarrow as pa

    (columns,) = pa.Table.from_batches([part.columns for part in parts]).combine_chunks().to_batches()
    return Rows(
        ids=[id_ for part in parts for id_ in part.ids],
        columns=columns,
        number=parts[0].number,
        sides=np.concatenate([part.sides for part in parts]),
        copies=np.concatenate([part.copies for part in parts]),
    )


def _wire(columns: pa.RecordBatch) -> pa.Buffer:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, columns.schema) as stream:
        stream.write_batch(columns)
    return sink.getvalue()


def _received(ids: list[str], wire: Any, number: int, sides: UInt8, copies: Int32) -> Rows:
    import pyarrow as pa

    with pa.ipc.open_stream(pa.py_buffer(wire)) as stream:
        return Rows(ids, stream.read_next_batch(), number, sides, copies)


@dataclass(slots=True)
class Batch:
    """Compiled rows in columns, no object per token, and the account of rows worth a line.

    Row i has the tokens and loss mask (0 or 1) `offsets[i]:offsets[i + 1]`. `prompt_lengths` counts the
    tokens inference is given (NO_PROMPT: there is no answer) and `answer_lengths` the trained tokens after
    them. `read` is how many rows the batch was made of, and `number` the place of the first among all;
    `samples` are for the parity gate, `features` for the lints. Where rows have members, `member_lengths`
    has the tokens of all members, row after row; `carried` is what travels with each row, as JSON.
    """

    ids: list[str]
    tokens: Int32
    mask: UInt8
    offsets: Int64
    prompt_lengths: Int32
    answer_lengths: Int32
    targets: list[str | None]
    sides: UInt8
    copies: Int32
    account: list[Account]
    number: int = 0
    read: int = 0
    samples: Samples | None = None
    features: Features | None = None
    member_lengths: Int64 | None = None
    carried: list[str] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Int64) -> Batch:
        """Some of the rows, without the account."""
        lengths = np.diff(self.offsets)[rows]
        starts = self.offsets[:-1][rows]
        numbers = rows.tolist()
        return Batch(
            ids=[self.ids[row] for row in numbers],
            tokens=gather(self.tokens, starts, lengths),
            mask=gather(self.mask, starts, lengths),
            offsets=offsets_of(lengths),
            prompt_lengths=self.prompt_lengths[rows],
            answer_lengths=self.answer_lengths[rows],
            targets=[self.targets[row] for row in numbers],
            sides=self.sides[rows],
            copies=self.copies[rows],
            account=[],
            member_lengths=None if self.member_lengths is None else self._members()[rows].ravel(),
            carried=None if self.carried is None else [self.carried[row] for row in numbers],
        )

    def _members(self) -> Int64:
        """The tokens of each member, of shape (rows, members)."""
        assert self.member_lengths is not None  # noqa: S101 - the caller has looked
        return self.member_lengths.reshape(len(self), -1)

    @property
    def longest_members(self) -> Int64:
        """Of each row the tokens of its longest member; those of the row where it has none."""
        if self.member_lengths is None:
            return np.diff(self.offsets)
        longest: Int64 = self._members().max(axis=1)
        return longest

    def side(self, side: int) -> Batch:
        """The rows of one side of the split."""
        rows = np.flatnonzero(self.sides == side)
        return self if len(rows) == len(self) else self.take(rows)

    def split(self, end: int) -> tuple[Batch, Batch]:
        """The first `end` rows and the others, each without the account."""
        rows = np.arange(len(self), dtype=np.int64)
        return self.take(rows[:end]), self.take(rows[end:])
