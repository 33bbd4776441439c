"""Where a text is cut to be encoded in pieces, its tokens must be those of the text in one.

Inference encodes the whole conversation so far. A row is cut where the loss begins and ends, so the
prompt of a later turn may stand in several pieces, and its tokens must not depend on that. They do
where an answer begins with white space, say, which joins the line end before it into one token.

A cut beside an added token is safe, because a tokenizer takes those out first. Any other is tried on a
few characters on both sides: a tokenizer that first splits texts by a pattern, as byte-level ones do,
sees nothing beyond the split. What fails there, and every row of other tokenizers, is encoded whole.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from ftc.data.pieces import Piece, Pieces

if TYPE_CHECKING:
    from ftc.data.tokenise import Cut

WINDOW = 24
"""Characters on each side of a cut that are encoded alone and together."""

Row = Sequence["Cut"]
Tokens = list[int]


class Joints:
    """Tells rows whose prompt, encoded in pieces, differs from the prompt encoded whole.

    `local` says that the tokenizer first splits by a pattern.
    """

    def __init__(self, pieces: Pieces, *, local: bool) -> None:
        self._pieces, self._local = pieces, local

    def unlike(self, rows: Sequence[Row], whole: Collection[int] = ()) -> list[int]:
        """Numbers of the rows that differ; those in `whole` are encoded whole in any case."""
        joints = {row: found for row, cuts in enumerate(rows) if (found := self._joints(cuts))}
        asked = {row for row in joints if row in whole or not self._local}
        windows = {row: found for row, found in joints.items() if row not in asked}
        pairs = [pair for found in windows.values() for pair in found]
        encoded = self._encoded({Piece(text) for pair in pairs for text in _texts(pair)})
        asked |= {
            row
            for row, found in windows.items()
            if any(encoded[a] + encoded[b] != encoded[ab] for a, b, ab in map(_pieces, found))
        }
        return self._different({row: _prompt(rows[row]) for row in sorted(asked | set(whole))})

    def _joints(self, cuts: Row) -> list[tuple[str, str]]:
        return [
            (before.text[-WINDOW:], after.text[:WINDOW])
            for before, after in pairwise(_prompt(cuts))
            if not self._pieces.added_at_end(before.text) and not self._pieces.added_at_start(after.text)
        ]

    def _encoded(self, pieces: Collection[Piece]) -> dict[Piece, Tokens]:
        order = sorted(pieces)
        pool = self._pieces.encode(order)
        return {piece: pool.of(number) for number, piece in enumerate(order)}

    def _different(self, prompts: dict[int, list[Piece]]) -> list[int]:
        """The prompts whose pieces, encoded one by one, are not what the whole is encoded to."""
        wholes = {row: Piece("".join(piece.text for piece in pieces)) for row, pieces in prompts.items()}
        encoded = self._encoded(
            {piece for row, pieces in prompts.items() for piece in (*pieces, wholes[row])}
        )
        return [
            row
            for row, pieces in prompts.items()
            if [token for piece in pieces for token in encoded[piece]] != encoded[wholes[row]]
        ]


def _prompt(cuts: Row) -> list[Piece]:
    return [cut.piece for cut in cuts if cut.prompt]


def _texts(pair: tuple[str, str]) -> tuple[str, str, str]:
    return (*pair, "".join(pair))


def _pieces(pair: tuple[str, str]) -> tuple[Piece, Piece, Piece]:
    one, other, both = map(Piece, _texts(pair))
    return one, other, both
