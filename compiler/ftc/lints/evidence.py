"""What the lints of all rows are given: some bytes a row in columns, and a way to the compiled rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ftc.lints.base import FIRST, Hit, LintResult
from ftc.lints.kinds import excerpt
from ftc.lints.seen import Seen

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
UInt8 = NDArray[np.uint8]
UInt32 = NDArray[np.uint32]
UInt64 = NDArray[np.uint64]

TRAIN, EVAL = 0, 1
PART_BITS = 19
"""Rows that are compared at a time are about two to the power of this, or a 256th of all."""

FRAMED = 16
"""Rows that are compared to tell what a template puts around the text of every row."""

NO_ANSWER = 0
"""The hash of the answer of a row that has none."""


class TokenRows(NamedTuple):
    """Compiled rows of one side: row i has the tokens `offsets[i]:offsets[i + 1]`.

    `prompts` counts the tokens that inference is given, below 0 where there is no answer.
    """

    tokens: Int32
    offsets: Int64
    prompts: Int32


def together(column: UInt64) -> Iterator[Int64]:
    """The numbers of all rows in parts, some at a time; those of one value are in one part, in their order.

    So what compares rows needs memory for a part of them alone.
    """
    parts = 1 << max(0, (len(column) - 1).bit_length() - PART_BITS)
    shift, mask = np.uint64(64 - 8), np.uint64(min(parts, 256) - 1)
    if parts == 1:
        yield np.arange(len(column))
        return
    part_of = ((column >> shift) & mask).astype(np.uint8)
    for part in range(int(mask) + 1):
        yield np.flatnonzero(part_of == part)


class ShownRow(NamedTuple):
    """A compiled row as text: its id, what is asked, what is answered."""

    id: str
    asked: str
    answer: str | None


class Reader(Protocol):
    """The way to the compiled rows, which are numbered from 0 on each side of the split."""

    def token_rows(self, side: int) -> Iterator[TokenRows]:
        """The rows of one side in order, some at a time."""

    def shown(self, side: int, places: Sequence[int]) -> dict[int, ShownRow]:
        """Some rows of one side as text, by their numbers."""

    def groups(self, ids: Sequence[str]) -> dict[str, str]:
        """What the split's group is for some rows, where the recipe states one; else nothing."""


@dataclass(frozen=True)
class Evidence:
    """All rows that were kept, in their order, in columns, and what was seen in single rows.

    `asked` and `answers` are hashes of what is asked and of the last answer (NO_ANSWER: a document),
    `loose` is a hash of the former without case, blanks and end punctuation. `tokens` and
    `characters` are the lengths of the row and of what it teaches. `labels` counts the training rows'
    answers where they are few.
    """

    sides: UInt8
    asked: UInt64
    loose: UInt64
    answers: UInt32
    tokens: Int32
    characters: Int32
    labels: Counter[str] | None
    seen: dict[str, Seen]
    reader: Reader

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.sides)

    def place(self, row: int) -> int:
        """The number of a row on its own side."""
        return int(np.count_nonzero(self.sides[:row] == self.sides[row]))

    def result(self, lint: str, *, least: float = 1, missing: str | None = None) -> LintResult | None:
        """The result of a lint of single rows, each of which counts; None where there is none.

        It is notable from `least` rows on.
        """
        seen = self.seen[lint]
        if not seen.rows:
            return None
        kinds = {kind: number for kind, number in sorted(seen.kinds.items()) if kind}
        return LintResult(
            lint=lint,
            rows=seen.rows,
            looked_at=self.rows,
            notable=seen.rows >= least,
            first=seen.examples(),
            facts={"kinds": dict(kinds)} if kinds else {},
            missing=missing,
        )

    def side(self, side: int) -> Int64:
        """The numbers of the rows of one side."""
        return np.flatnonzero(self.sides == side)

    def shown(self, numbers: Sequence[int]) -> dict[int, ShownRow]:
        """Some rows as text, by their numbers among all rows."""
        found: dict[int, ShownRow] = {}
        for side in (TRAIN, EVAL):
            mine = {self.place(row): row for row in numbers if self.sides[row] == side}
            rows = self.reader.shown(side, sorted(mine)) if mine else {}
            found |= {mine[place]: row for place, row in rows.items()}
        return found

    @cached_property
    def _frame(self) -> tuple[str, str]:
        """What the template puts before and behind what rows ask."""
        few = self.reader.shown(TRAIN, range(min(FRAMED, int((self.sides == TRAIN).sum()))))
        asked = list({row.asked for row in few.values()})
        if len(asked) < 2:
            return "", ""
        before = _common(asked)
        return before, _common([text[len(before) :][::-1] for text in asked])[::-1]

    def hits(self, pairs: Sequence[tuple[int, int | None]], *, answers: bool = False) -> tuple[Hit, ...]:
        """The first rows of a result, each with the number of the row it belongs with, if there is one.

        The excerpts are the beginnings of what is asked, or of the answers.
        """
        first = list(pairs)[:FIRST]
        rows = self.shown([row for pair in first for row in pair if row is not None])
        return tuple(
            Hit(
                id=rows[row].id,
                excerpt=self._excerpt(rows[row], answers=answers),
                other=rows[other].id if other is not None else "",
            )
            for row, other in first
        )

    def _excerpt(self, row: ShownRow, *, answers: bool) -> str:
        text = row.answer
        if text is None or not answers:
            before, behind = self._frame
            text = row.asked.removeprefix(before).removesuffix(behind) or row.asked
        return excerpt(text, 0, len(text))


def _common(texts: Sequence[str]) -> str:
    """What all of several texts begin with."""
    least, greatest = min(texts), max(texts)
    pairs = enumerate(zip(least, greatest, strict=False))
    return least[: next((at for at, (one, other) in pairs if one != other), len(least))]
