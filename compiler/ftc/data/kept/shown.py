"""Compiled rows as people read them: their text in stretches that are trained or not, and token by token."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ftc.data.kept.lookup import SIDES, Order, Place, Side, chosen, ids_at, part_of, places, rows_at
from ftc.data.kept.shards import CompiledRow
from ftc.data.packing.sequences import sequences_of
from ftc.data.packing.sizes import Sizes
from ftc.plan.steps import DataStep

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def label_of(carried: str) -> str | None:
    """The label that a row carries beside its tokens, without JSON's quotes; None where there is none."""
    label = json.loads(carried).get("label")
    return label if isinstance(label, str) or label is None else json.dumps(label)


UNDECODED = "\ufffd"
"""What a decoder gives for a token that is a part of a character."""


class Token(NamedTuple):
    """One token: its number in the vocabulary, its text, whether it carries loss."""

    id: int
    text: str
    trained: bool


@dataclass(frozen=True, slots=True)
class PackedIn:
    """A training sequence that holds a row, and the rows in it, in order; a repeated row may be in others.

    `tokens` counts those of all its rows, `capacity` how many it may have (None: one row a sequence);
    `also` are the numbers of the other sequences.
    """

    number: int
    of: int
    tokens: int
    capacity: int | None
    rows: tuple[str, ...]
    also: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ShownMember:
    """One of the texts that train together as a row: its name, its text in stretches, counts in tokens."""

    name: str
    tokens: tuple[tuple[str, bool], ...]
    length: int
    trained: int


@dataclass(frozen=True)
class ShownExample:
    """A compiled row as people read it: its text in stretches that are trained or not, counts in tokens.

    `each` has every token, and `packed` the sequence it trains in, where that was asked for. `members` are
    the texts that train together as the row, where it is several, and `label` its class or judgement;
    `carried` is the JSON object of the columns that travel with its tokens.
    """

    id: str
    part: Side
    tokens: tuple[tuple[str, bool], ...]
    length: int
    trained: int
    each: tuple[Token, ...] = ()
    packed: PackedIn | None = None
    members: tuple[ShownMember, ...] = ()
    label: str | None = None
    carried: str | None = None


class Viewer:
    """Shows compiled rows of one data directory; `sequences` is the directory of those, if there are any.

    `members` are the names of the texts that a row is made of, where it is several.
    """

    def __init__(
        self,
        data: DataStep,
        directory: Path,
        tokenizer: Path,
        sequences: Path | None,
        members: tuple[str, ...] = (),
    ) -> None:
        from tokenizers import Tokenizer

        self._members = members
        self._data, self._directory, self._sequences = data, directory, sequences
        self._tokenizer: Tokenizer = Tokenizer.from_file(str(tokenizer))

    def some(self, side: Side, order: Order, rows: int) -> Iterator[ShownExample]:
        """Some rows of a side: the first, the longest, or a sample by the hashes of their ids."""
        part = part_of(self._data, side)
        numbers = chosen(self._directory, part, order, rows) if part is not None else []
        yield from self._at([Place(side, number) for number in numbers])

    def by_id(self, ids: Sequence[str]) -> dict[str, tuple[ShownExample, ...]]:
        """The compiled rows of some ids, token by token and with their sequences; several of a split row."""
        found = places(self._data, self._directory, ids)
        return {
            id_: tuple(self._at(sorted(at, key=lambda place: place.number), packed=True))
            for id_, at in found.items()
        }

    def _at(self, wanted: Sequence[Place], *, packed: bool = False) -> Iterator[ShownExample]:
        for side in SIDES:
            part = part_of(self._data, side)
            numbers = [place.number for place in wanted if place.side == side]
            if part is not None and numbers:
                for number, row in zip(numbers, rows_at(self._directory, part, numbers), strict=True):
                    sequence = self._sequence(number) if packed and side == "train" else None
                    yield self._shown(row, side, sequence)

    def _shown(self, row: CompiledRow, side: Side, packed: PackedIn | None) -> ShownExample:
        return ShownExample(
            id=row.id,
            part=side,
            tokens=self._stretches(row.input_ids, row.mask),
            length=len(row.input_ids),
            trained=sum(row.mask),
            each=tuple(self._each(row)),
            packed=packed,
            members=tuple(self._each_member(row)),
            label=label_of(row.carried) if row.carried else None,
            carried=row.carried,
        )

    def _stretches(self, tokens: Sequence[int], mask: Sequence[bool]) -> tuple[tuple[str, bool], ...]:
        pairs = zip(tokens, mask, strict=True)
        return tuple(
            (self._text([token for token, _ in group]), trained)
            for trained, group in groupby(pairs, key=lambda pair: pair[1])
        )

    def _each_member(self, row: CompiledRow) -> Iterator[ShownMember]:
        end = 0
        for name, length in zip(self._members, row.lengths, strict=True) if self._members else ():
            start, end = end, end + length
            tokens, mask = row.input_ids[start:end], row.mask[start:end]
            yield ShownMember(name, self._stretches(tokens, mask), length, sum(mask))

    def _text(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=False))

    def _each(self, row: CompiledRow) -> Iterator[Token]:
        for id_, trained in zip(row.input_ids, row.mask, strict=True):
            text = self._text([id_])
            partial = UNDECODED in text
            yield Token(id_, str(self._tokenizer.id_to_token(id_)) if partial else text, trained)

    def _sequence(self, number: int) -> PackedIn | None:
        """The sequence that trains a training row; None where rows train one by one."""
        step = self._data.sequences
        if step is None or self._sequences is None:
            return None
        found = sequences_of(self._sequences, self._data, number)
        if not found:
            return None
        (sequence, rows), *others = found
        names = ids_at(self._directory, self._data.train, rows)
        lengths = Sizes.read(self._directory).lengths
        return PackedIn(
            number=sequence,
            of=step.count,
            tokens=int(lengths[rows].sum()),
            capacity=step.capacity,
            rows=tuple(names[row] for row in rows),
            also=tuple(other for other, _ in others),
        )
