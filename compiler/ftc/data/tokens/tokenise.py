"""Text becomes tokens: pieces are encoded apart where the loss begins or ends, as inference does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ftc.data.ragged import gather, offsets_of, running
from ftc.data.rendering.example import Rendered
from ftc.data.tokens.joints import Joints
from ftc.data.tokens.pieces import Piece, Pieces
from ftc.data.work.batch import NO_PROMPT, Int32, Int64, UInt8


@dataclass(frozen=True, slots=True)
class Tokens:
    """Rows as tokens, flat, with a byte of 0 or 1 for each: does it carry loss.

    `prompts` counts the tokens inference is given, NO_PROMPT where there is no answer or the prompt is
    not how the text begins. `unlike` are rows whose prompt is not encoded as inference would.
    """

    tokens: Int32
    mask: UInt8
    offsets: Int64
    prompts: Int32
    unlike: tuple[int, ...] = ()


class Cut(NamedTuple):
    """A stretch of text that is encoded alone; `prompt` says whether inference is given it."""

    piece: Piece
    trained: bool
    prompt: bool


def boundary(rendered: Rendered) -> int:
    """Where the prompt ends in the text; -1 where the row has none, or does not begin with it."""
    prompt = rendered.prompt
    return len(prompt) if prompt is not None and rendered.text.startswith(prompt) else -1


def stretches(rendered: Rendered, end: int) -> list[tuple[str, bool, bool]]:
    """The text cut where the loss begins or ends and where the prompt ends (`end`), and nowhere else.

    Each stretch with whether it carries loss and whether it belongs to the prompt.
    """
    found: list[tuple[str, bool, bool]] = []
    at = 0
    for piece in rendered.pieces:
        text, trained = piece.text, piece.trained
        inside = min(max(end - at, 0), len(text))
        at += len(text)
        if inside:
            _append(found, text[:inside], trained, True)
        if inside < len(text):
            _append(found, text[inside:], trained, False)
    return found


def _append(found: list[tuple[str, bool, bool]], text: str, trained: bool, prompt: bool) -> None:
    if found and found[-1][1:] == (trained, prompt):
        text = found.pop()[0] + text
    found.append((text, trained, prompt))


class Encoder:
    """A back end with the plan's policy: `bos`, if there is one, begins every row and carries no loss.

    `joints` tells the rows whose prompt does not come out as inference would encode it.
    """

    def __init__(self, pieces: Pieces, bos: int | None, joints: Joints) -> None:
        self._pieces = pieces
        self._bos = bos
        self._joints = joints

    def encode(self, rows: Sequence[Rendered], whole: Sequence[int] = ()) -> Tokens:
        """The rows as tokens, in order; each distinct piece of them is encoded once.

        The prompts of the rows `whole` are compared in full with what they are encoded to in one.
        """
        ends = [boundary(rendered) for rendered in rows]
        cut_rows = [self._cuts(rendered, end) for rendered, end in zip(rows, ends, strict=True)]
        flat = [cut for row in cut_rows for cut in row]
        pool, chosen = self._pieces.distinct([cut.piece for cut in flat])
        lengths = pool.lengths[chosen]
        mask = np.repeat(np.array([cut.trained for cut in flat], dtype=np.uint8), lengths)
        in_prompt = np.array([cut.prompt for cut in flat], dtype=np.uint8) * lengths
        bounds = offsets_of(np.array([len(row) for row in cut_rows], dtype=np.int64))
        found = Tokens(
            tokens=gather(pool.tokens, pool.starts[chosen], lengths),
            mask=mask,
            offsets=offsets_of(lengths)[bounds],
            prompts=np.diff(running(in_prompt)[bounds]).astype(np.int32),
            unlike=tuple(self._joints.unlike(cut_rows, whole)),
        )
        found.prompts[np.array(ends, dtype=np.int64) < 0] = NO_PROMPT
        return found if self._bos is None else begun(found, self._bos)

    def _cuts(self, rendered: Rendered, end: int) -> list[Cut]:
        found, before = [], ""
        for text, trained, prompt in stretches(rendered, end):
            found.append(Cut(Piece(text, self._pieces.context(before)), trained, prompt))
            before = text
        return found


def begun(rows: Tokens, bos: int) -> Tokens:
    """The rows with a token before each, which carries no loss."""
    begins = rows.offsets[:-1]
    return Tokens(
        tokens=np.insert(rows.tokens, begins, bos),
        mask=np.insert(rows.mask, begins, 0),
        offsets=rows.offsets + np.arange(len(rows.offsets)),
        prompts=np.where(rows.prompts == NO_PROMPT, NO_PROMPT, rows.prompts + 1).astype(np.int32),
        unlike=rows.unlike,
    )
