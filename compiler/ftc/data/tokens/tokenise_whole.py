"""Texts encoded in one go, their loss told by where tokens stand in the text: so TRL encodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ftc.data.ragged import offsets_of, running
from ftc.data.rendering.example import Rendered
from ftc.data.tokens.tokenise import Tokens, begun, boundary
from ftc.data.work.batch import NO_PROMPT, Int64, UInt8

if TYPE_CHECKING:
    from ftc.data.tokens.encoders import Tokenizers


class WholeEncoder:
    """Encodes each row's text as one; a token carries loss where any of its characters does."""

    def __init__(self, reference: Tokenizers, bos: int | None) -> None:
        self._reference, self._bos = reference, bos

    def encode(self, rows: Sequence[Rendered], whole: Sequence[int] = ()) -> Tokens:
        """The rows as tokens, in order; `whole` asks for nothing, as no row is cut."""
        del whole
        encodings = self._reference.encodings([rendered.text for rendered in rows])
        placed = [_place(rendered, encoding) for rendered, encoding in zip(rows, encodings, strict=True)]
        ids = [np.array(encoding.ids, dtype=np.int32) for encoding in encodings]
        found = Tokens(
            tokens=np.concatenate([np.zeros(0, np.int32), *ids]),
            mask=np.concatenate([np.zeros(0, np.uint8), *(mask for mask, _ in placed)]),
            offsets=offsets_of(np.array([len(one) for one in ids], dtype=np.int64)),
            prompts=np.array([prompt for _, prompt in placed], dtype=np.int32),
        )
        return found if self._bos is None else begun(found, self._bos)


def _place(rendered: Rendered, encoding: Any) -> tuple[UInt8, int]:
    """The mask of a row's tokens, and how many of them the prompt is."""
    lengths = [len(piece.text) for piece in rendered.pieces]
    trained = np.repeat(np.array([piece.trained for piece in rendered.pieces], dtype=np.uint8), lengths)
    before = running(trained)
    places: Int64 = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
    first, last = places[:, 0], places[:, 1]
    end = boundary(rendered)
    prompt = int(np.count_nonzero(last <= end)) if end >= 0 else NO_PROMPT
    if prompt != NO_PROMPT and prompt < len(first) and first[prompt] < end:
        prompt = NO_PROMPT
    return (before[last] - before[first] > 0).astype(np.uint8), prompt
