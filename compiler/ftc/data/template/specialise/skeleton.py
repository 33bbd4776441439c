"""A rendering with its free strings left open: fixed texts and expressions, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from ftc.data.template.provenance import LITERAL, LOST, MARK, Run, Traced, runs_of
from ftc.data.template.specialise.expression import Expression, Fixed, Joined, Row, plain, traced


@dataclass(frozen=True, slots=True)
class Position:
    """A place in every text of a skeleton: a piece, and how far into it (0 unless it is fixed text)."""

    piece: int
    offset: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """Up to where two skeletons agree in every row.

    `whole`: to the end of the first, which every row's second text starts with. `surely`: in no row do
    the texts agree any further.
    """

    end: Position
    whole: bool
    surely: bool


class Skeleton:
    """What a template writes for every row of a shape that answers its questions alike.

    `pieces` are fixed texts (never two in a row, none empty) and expressions. `chunks` are the same with
    the origins of the fixed texts, among them marks without width.
    """

    def __init__(self, expression: Expression) -> None:
        self.chunks = expression.parts if isinstance(expression, Joined) else (expression,)
        self.pieces: tuple[str | Expression, ...] = tuple(_pieces(self.chunks))
        self._texts = [piece if isinstance(piece, str) else "" for piece in self.pieces]
        self.slots = tuple(
            (number, plain(piece)) for number, piece in enumerate(self.pieces) if not isinstance(piece, str)
        )

    @property
    def size(self) -> int:
        """The characters of the fixed texts."""
        return sum(map(len, self._texts))

    def parts(self, row: Row) -> list[str]:
        """The texts of the pieces for a row."""
        parts = self._texts.copy()
        for number, evaluate in self.slots:
            parts[number] = evaluate(row)
        return parts

    def text(self, row: Row) -> str:
        """The rendering of a row."""
        return "".join(self.parts(row))

    def runs(self, row: Sequence[Traced]) -> tuple[Run, ...]:
        """The origins of the characters of a row's rendering."""
        runs: list[Run] = []
        for chunk in self.chunks:
            runs.extend(chunk.runs if isinstance(chunk, Fixed) else runs_of(traced(chunk, row)))
        return tuple(runs)

    def agreement(self, other: Skeleton) -> Agreement:
        """How far the two agree in every row."""
        for number, piece in enumerate(self.pieces):
            if number == len(other.pieces):
                return Agreement(Position(number, 0), whole=False, surely=True)
            against = other.pieces[number]
            if piece == against:
                continue
            if not (isinstance(piece, str) and isinstance(against, str)):
                return Agreement(Position(number, 0), whole=False, surely=False)
            shared, last = _shared(piece, against), number + 1
            if shared == len(piece):
                whole = last == len(self.pieces)
                return Agreement(Position(number, shared), whole=whole, surely=whole)
            surely = shared < len(against) or last == len(other.pieces)
            return Agreement(Position(number, shared), whole=False, surely=surely)
        return Agreement(Position(len(self.pieces), 0), whole=True, surely=True)


def _pieces(chunks: Sequence[Expression]) -> list[str | Expression]:
    found: list[str | Expression] = []
    for chunk in chunks:
        if not isinstance(chunk, Fixed):
            found.append(chunk)
        elif chunk.text:
            found.append(chunk.text)
    return found


def _shared(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def ends_of(parts: Sequence[str]) -> list[int]:
    """Where each piece begins, and where the last ends."""
    return [0, *accumulate(map(len, parts))]


def normalised(runs: Sequence[Run]) -> list[Run]:
    """The same origins in the fewest runs, so that two accounts of them can be compared."""
    found: list[Run] = []
    for length, source, offset in runs:
        run = (length, source, 0 if source in (LITERAL, LOST) else offset)
        if source == MARK or (length and not (found and _continues(found[-1], run))):
            found.append(run)
        elif length:
            found[-1] = (found[-1][0] + length, *found[-1][1:])
    return found


def _continues(run: Run, other: Run) -> bool:
    """Whether one run's characters go on where another's end; of escapes, none are told apart."""
    length, source, offset = run
    step = 0 if source in (LITERAL, LOST) or offset < 0 else length
    return source == other[1] and source != MARK and other[2] == offset + step
