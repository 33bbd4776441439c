"""Pieces of texts as tokens: a piece that continues a text is encoded as its continuation.

Most tokenizers encode a piece as they would within the text, if it is cut where they split anyway. Some put
something before every text (Llama 2's and its like a blank): such a one is given a piece behind a short
context, whose tokens are taken off again. The context is the special token that the piece follows, or a
line end.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ftc.data.batch import Int32, Int64

if TYPE_CHECKING:
    from ftc.data.encoders import Backend

LINE = "\n"


class Piece(NamedTuple):
    """A stretch of text to be encoded, and the context behind which that is done."""

    text: str
    context: str = ""


class Pool(NamedTuple):
    """The tokens of pieces: those of piece i are `tokens[starts[i]:starts[i] + lengths[i]]`."""

    tokens: Int32
    starts: Int64
    lengths: Int64

    def of(self, number: int) -> list[int]:
        """The tokens of one piece."""
        start = int(self.starts[number])
        found: list[int] = self.tokens[start : start + int(self.lengths[number])].tolist()
        return found


class Pieces:
    """Encodes pieces; `added` are texts of added tokens, `begins_texts` says whether contexts are needed."""

    def __init__(self, backend: Backend, added: Collection[str], *, begins_texts: bool) -> None:
        self._backend, self._begins = backend, begins_texts
        self._added = frozenset(added)
        self._lengths = sorted({len(text) for text in added})

    def context(self, before: str) -> str:
        """The context of a piece that follows some text; empty where it follows none, or none is needed."""
        if not self._begins or not before:
            return ""
        return self.added_at_end(before) or LINE

    def added_at_end(self, text: str) -> str:
        """The added token that a text ends with, if it does."""
        ends = (text[-length:] for length in self._lengths)
        return next((end for end in ends if end in self._added), "")

    def added_at_start(self, text: str) -> str:
        """The added token that a text starts with, if it does."""
        starts = (text[:length] for length in self._lengths)
        return next((start for start in starts if start in self._added), "")

    def encode(self, pieces: Sequence[Piece]) -> Pool:
        """The tokens of all pieces, in order."""
        tokens, offsets = self._backend.encode([piece.context + piece.text for piece in pieces])
        pool = Pool(tokens, offsets[:-1].copy(), np.diff(offsets))
        if not self._begins:
            return pool
        contexts = self._contexts(pieces)
        melted = [
            number
            for number, piece in enumerate(pieces)
            if not _shorten(pool, number, contexts[piece.context])
        ]
        return self._replaced(pool, melted, [pieces[number].text for number in melted])

    def _replaced(self, pool: Pool, numbers: Sequence[int], texts: Sequence[str]) -> Pool:
        """The pool with the tokens of some pieces encoded without their context, which they melt into."""
        if not numbers:
            return pool
        tokens, offsets = self._backend.encode(texts)
        pool.starts[list(numbers)] = offsets[:-1] + len(pool.tokens)
        pool.lengths[list(numbers)] = np.diff(offsets)
        return pool._replace(tokens=np.concatenate([pool.tokens, tokens]))

    def _contexts(self, pieces: Sequence[Piece]) -> dict[str, list[int]]:
        contexts = sorted({piece.context for piece in pieces} - {""})
        if not contexts:
            return {"": []}
        tokens, offsets = self._backend.encode(contexts)
        bounds = zip(contexts, offsets.tolist(), offsets.tolist()[1:], strict=False)
        return {"": [], **{context: tokens[start:end].tolist() for context, start, end in bounds}}


def _shorten(pool: Pool, number: int, context: list[int]) -> bool:
    """Take a context's tokens off a piece; False where it does not begin with them."""
    if not context:
        return True
    start = int(pool.starts[number])
    if pool.tokens[start : start + len(context)].tolist() != context:
        return False
    pool.starts[number] += len(context)
    pool.lengths[number] -= len(context)
    return True
