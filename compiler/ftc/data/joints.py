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

import numpy as np

if TYPE_CHECKING:
    from ftc.data.encoders import Backend
    from ftc.data.tokenise import Cut

WINDOW = 24
"""Characters on each side of a cut that are encoded alone and together."""

Row = Sequence["Cut"]
Tokens = list[int]


class Joints:
    """Tells rows whose prompt, encoded in pieces, differs from the prompt encoded whole.

    `added` are the texts of added tokens; `local` says that the tokenizer first splits by a pattern.
    """

    def __init__(self, backend: Backend, added: Collection[str], *, local: bool) -> None:
        self._backend, self._local = backend, local
        self._added = tuple(added)

    def unlike(self, rows: Sequence[Row], whole: Collection[int] = ()) -> list[int]:
        """Numbers of the rows that differ; those in `whole` are encoded whole in any case."""
        joints = {row: found for row, cuts in enumerate(rows) if (found := self._joints(cuts))}
        asked = {row for row in joints if row in whole or not self._local}
        windows = {row: found for row, found in joints.items() if row not in asked}
        encoded = self._encoded(
            {text for found in windows.values() for pair in found for text in _texts(pair)}
        )
        asked |= {
            row
            for row, found in windows.items()
            if any(encoded[a] + encoded[b] != encoded[ab] for a, b, ab in map(_texts, found))
        }
        return self._different({row: _prompt(rows[row]) for row in sorted(asked | set(whole))})

    def _joints(self, cuts: Row) -> list[tuple[str, str]]:
        prompt = _prompt(cuts)
        return [
            (before[-WINDOW:], after[:WINDOW])
            for before, after in pairwise(prompt)
            if not (before.endswith(self._added) or after.startswith(self._added))
        ]

    def _encoded(self, texts: Collection[str]) -> dict[str, Tokens]:
        order = sorted(texts)
        flat, offsets = self._backend.encode(order)
        parts = np.split(flat, offsets[1:-1]) if order else []
        return {text: part.tolist() for text, part in zip(order, parts, strict=True)}

    def _different(self, prompts: dict[int, list[str]]) -> list[int]:
        """The prompts whose pieces, encoded one by one, are not what the whole is encoded to."""
        wholes = {row: "".join(pieces) for row, pieces in prompts.items()}
        encoded = self._encoded({text for row, pieces in prompts.items() for text in (*pieces, wholes[row])})
        return [
            row
            for row, pieces in prompts.items()
            if [token for piece in pieces for token in encoded[piece]] != encoded[wholes[row]]
        ]


def _prompt(cuts: Row) -> list[str]:
    return [cut.text for cut in cuts if cut.prompt]


def _texts(pair: tuple[str, str]) -> tuple[str, str, str]:
    return (*pair, "".join(pair))
