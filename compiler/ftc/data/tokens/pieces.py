"""Pieces of texts as tokens: a piece that continues a text is encoded as its continuation.

Most tokenizers encode a piece as they would within the text, if it is cut where they split anyway. Some put
something before every text (Llama 2's and its like a blank): such a one is given a piece behind a short
context, whose tokens are taken off again. The context is the special token that the piece follows, or a
line end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ftc.data.ragged import gather, offsets_of, running
from ftc.data.work.batch import Int32, Int64

if TYPE_CHECKING:
    from ftc.data.tokens.encoders import Backend

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

    def take(self, numbers: Int64) -> Int32:
        """The tokens of some pieces, one after the other."""
        return gather(self.tokens, self.starts[numbers], self.lengths[numbers])

    def unequal(self, parts: Int64, wholes: Int64) -> Int64:
        """Where two pieces, one after the other, have other tokens than a third.

        `parts` has two numbers of pieces for each number in `wholes`.
        """
        both = self.lengths[parts].reshape(-1, 2).sum(axis=1)
        differ = both != self.lengths[wholes]
        alike = np.flatnonzero(~differ)
        left, right = self.take(parts.reshape(-1, 2)[alike].ravel()), self.take(wholes[alike])
        wrong = running(left != right)[offsets_of(both[alike])]
        differ[alike] = np.diff(wrong) > 0
        return np.flatnonzero(differ)


class Pieces:
    """Encodes pieces; `added` are texts of added tokens, `begins_texts` says whether contexts are needed."""

    def __init__(self, backend: Backend, added: Collection[str], *, begins_texts: bool) -> None:
        self._backend, self._begins = backend, begins_texts
        self._added = frozenset(added)
        self._lengths = sorted({len(text) for text in added})
        self._firsts = frozenset(text[0] for text in added if text)
        self._lasts = frozenset(text[-1] for text in added if text)

    def context(self, before: str) -> str:
        """The context of a piece that follows some text; empty where it follows none, or none is needed."""
        if not self._begins or not before:
            return ""
        return self.added_at_end(before) or LINE

    def added_at_end(self, text: str) -> str:
        """The added token that a text ends with, if it does."""
        if text[-1:] not in self._lasts:
            return ""
        ends = (text[-length:] for length in self._lengths)
        return next((end for end in ends if end in self._added), "")

    def added_at_start(self, text: str) -> str:
        """The added token that a text starts with, if it does."""
        if text[:1] not in self._firsts:
            return ""
        starts = (text[:length] for length in self._lengths)
        return next((start for start in starts if start in self._added), "")

    def of(self, texts: Sequence[str]) -> list[Piece]:
        """The stretches of one text as pieces, each with its context."""
        return [Piece(text, self.context(before)) for before, text in zip(("", *texts), texts, strict=False)]

    def joined(self, texts: Sequence[str], before: Iterable[str]) -> tuple[Int32, Int64]:
        """The tokens of texts, each behind what stands before it, one after the other; and their offsets."""
        if not self._begins:
            return self._backend.encode(texts)
        contexts = map(self.context, before)
        pool, numbers = self.distinct([Piece(*piece) for piece in zip(texts, contexts, strict=True)])
        return pool.take(numbers), offsets_of(pool.lengths[numbers])

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

    def distinct(self, pieces: Sequence[Piece]) -> tuple[Pool, Int64]:
        """The tokens of pieces, each distinct one encoded once, and the number of each in the pool."""
        numbers: dict[Piece, int] = {}
        order = [numbers.setdefault(piece, len(numbers)) for piece in pieces]
        return self.encode(list(numbers)), np.array(order, dtype=np.int64)

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
