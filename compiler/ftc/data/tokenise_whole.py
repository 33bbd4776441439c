"""Texts encoded in one go, their loss told by where tokens stand in the text.

For two cases: TRL encodes so, and a tokenizer that puts something before every text (Llama 2's white
space) would put it before each piece of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ftc.data.batch import NO_PROMPT, Int64, UInt8
from ftc.data.example import Rendered
from ftc.data.ragged import offsets_of, running
from ftc.data.tokenise import Tokens, begun, boundary

if TYPE_CHECKING:
    from ftc.data.encoders import Tokenizers


class WholeEncoder:
    """Encodes each row's text as one; a token carries loss where any of its characters does.

    With `strict`, rows are told whose prompt, encoded alone, is not how their tokens begin, or of which
    a token reaches into a trained stretch from outside: inference would not make those tokens.
    """

    def __init__(self, reference: Tokenizers, bos: int | None, *, strict: bool) -> None:
        self._reference, self._bos, self._strict = reference, bos, strict

    def encode(self, rows: Sequence[Rendered], whole: Sequence[int] = ()) -> Tokens:
        """The rows as tokens, in order; `whole` asks for nothing more than is done for every row."""
        del whole
        encodings = self._reference.encodings([rendered.text for rendered in rows])
        placed = [_place(rendered, encoding) for rendered, encoding in zip(rows, encodings, strict=True)]
        ids = [np.array(encoding.ids, dtype=np.int32) for encoding in encodings]
        prompts = np.array([prompt for _, prompt, _ in placed], dtype=np.int32)
        unlike = {row for row, (_, _, torn) in enumerate(placed) if torn} | self._unlike(rows, ids, prompts)
        found = Tokens(
            tokens=np.concatenate([np.zeros(0, np.int32), *ids]),
            mask=np.concatenate([np.zeros(0, np.uint8), *(mask for mask, _, _ in placed)]),
            offsets=offsets_of(np.array([len(one) for one in ids], dtype=np.int64)),
            prompts=prompts,
            unlike=tuple(sorted(unlike)) if self._strict else (),
        )
        return found if self._bos is None else begun(found, self._bos)

    def _unlike(self, rows: Sequence[Rendered], ids: Sequence[Any], prompts: Any) -> set[int]:
        asked = [row for row, rendered in enumerate(rows) if boundary(rendered) >= 0]
        if not self._strict:
            return set()
        alone = self._reference.encodings([rows[row].prompt or "" for row in asked])
        return {
            row
            for row, encoding in zip(asked, alone, strict=True)
            if encoding.ids != ids[row][: max(int(prompts[row]), 0)].tolist()
        }


def _place(rendered: Rendered, encoding: Any) -> tuple[UInt8, int, bool]:
    """The mask of a row's tokens, how many of them the prompt is, and whether a token is torn."""
    lengths = [len(piece.text) for piece in rendered.pieces]
    trained = np.repeat(np.array([piece.trained for piece in rendered.pieces], dtype=np.uint8), lengths)
    before = running(trained)
    places: Int64 = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
    first, last = places[:, 0], places[:, 1]
    count = before[last] - before[first]
    end = boundary(rendered)
    prompt = int(np.count_nonzero(last <= end)) if end >= 0 else NO_PROMPT
    if prompt != NO_PROMPT and prompt < len(first) and first[prompt] < end:
        prompt = NO_PROMPT
    torn = bool(np.any((count > 0) & (trained[np.minimum(first, len(trained) - 1)] == 0)))
    return (count > 0).astype(np.uint8), prompt, torn
