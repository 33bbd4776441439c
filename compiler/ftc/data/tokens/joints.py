"""Where a text is cut to be encoded in pieces, its tokens must be those of the text in one.

Inference encodes the whole conversation so far. A row is cut where the loss begins and ends, so the
prompt of a later turn may stand in several pieces, and its tokens must not depend on that. They do
where an answer begins with white space, say, which joins the line end before it into one token.

A cut beside an added token is safe, because a tokenizer takes those out first. Any other is tried on a
few characters on both sides: a tokenizer that first splits texts by a pattern, as byte-level ones do,
sees nothing beyond the split. What fails there, and every row of other tokenizers, is encoded whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ftc.data.ragged import offsets_of
from ftc.data.tokens.pieces import Piece, Pieces

if TYPE_CHECKING:
    from ftc.data.tokens.tokenise import Cuts

WINDOW = 24
"""Characters on each side of a cut that are encoded alone and together."""


class Joints:
    """Tells rows whose prompt, encoded in pieces, differs from the prompt encoded whole.

    `local` says that the tokenizer first splits by a pattern.
    """

    def __init__(self, pieces: Pieces, *, local: bool) -> None:
        self._pieces, self._local = pieces, local

    def unlike(self, rows: Cuts, whole: Collection[int] = ()) -> list[int]:
        """Numbers of the rows that differ; those in `whole` are encoded whole in any case."""
        joints = list(self._joints(rows))
        asked = {row for row, _, _ in joints} if not self._local else self._torn(joints)
        asked |= {row for row in whole if len(rows.prompts(row)) > 1}
        return self._different({row: rows.prompts(row) for row in sorted(asked)})

    def _joints(self, rows: Cuts) -> Iterator[tuple[int, str, str]]:
        """The two sides of each cut in a prompt that is not beside an added token, with the row's number."""
        texts, ended, begun = rows.texts, self._pieces.added_at_end, self._pieces.added_at_start
        for row, (start, end) in enumerate(pairwise(rows.bounds)):
            for at in range(start + 1, start + rows.prompt.count(1, start, end)):
                if not ended(before := texts[at - 1]) and not begun(after := texts[at]):
                    yield row, before[-WINDOW:], after[:WINDOW]

    def _torn(self, joints: Sequence[tuple[int, str, str]]) -> set[int]:
        """The rows of joints whose two sides, encoded one by one, are not what they are encoded to in one."""
        pairs: dict[tuple[str, str], list[int]] = {}
        for row, before, after in joints:
            pairs.setdefault((before, after), []).append(row)
        if not pairs:
            return set()
        texts = [Piece(text) for one, other in pairs for text in (one, other, one + other)]
        pool, numbers = self._pieces.distinct(texts)
        numbers = numbers.reshape(-1, 3)
        torn, rows = pool.unequal(numbers[:, :2].ravel(), numbers[:, 2]), list(pairs.values())
        return {row for joint in torn.tolist() for row in rows[joint]}

    def _different(self, prompts: Mapping[int, Sequence[str]]) -> list[int]:
        """The prompts whose pieces, encoded one by one, are not what the whole is encoded to."""
        pieces = [piece for texts in prompts.values() for piece in self._pieces.of(texts)]
        wholes = [Piece("".join(texts)) for texts in prompts.values()]
        pool, numbers = self._pieces.distinct(pieces + wholes)
        bounds = offsets_of(np.array([len(texts) for texts in prompts.values()], dtype=np.int64)).tolist()
        return [
            row
            for row, start, end, whole in zip(
                prompts, bounds, bounds[1:], numbers[len(pieces) :], strict=False
            )
            if not np.array_equal(pool.take(numbers[start:end]), pool.take(whole.reshape(1)))
        ]
