"""Rows on their way through the compiler, in columns: as the query gives them, and compiled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ftc.data.ragged import gather, offsets_of
from ftc.plan.steps import Fate

if TYPE_CHECKING:
    import pyarrow as pa

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


@dataclass(slots=True)
class Batch:
    """Compiled rows in columns, no object per token, and the account of rows worth a line.

    Row i has the tokens and loss mask (0 or 1) `offsets[i]:offsets[i + 1]`. `prompt_lengths` counts the
    tokens inference is given (NO_PROMPT: there is no answer) and `answer_lengths` the trained tokens after
    them; `prompts` are hashes of what inference is given.
    """

    ids: list[str]
    tokens: Int32
    mask: UInt8
    offsets: Int64
    prompt_lengths: Int32
    answer_lengths: Int32
    targets: list[str | None]
    prompts: UInt64
    sides: UInt8
    copies: Int32
    account: list[Account]

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
            prompts=self.prompts[rows],
            sides=self.sides[rows],
            copies=self.copies[rows],
            account=[],
        )

    def side(self, side: int) -> Batch:
        """The rows of one side of the split."""
        rows = np.flatnonzero(self.sides == side)
        return self if len(rows) == len(self) else self.take(rows)

    def split(self, end: int) -> tuple[Batch, Batch]:
        """The first `end` rows and the others, each without the account."""
        rows = np.arange(len(self), dtype=np.int64)
        return self.take(rows[:end]), self.take(rows[end:])
