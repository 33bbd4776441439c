"""Text becomes tokens: pieces are encoded apart where the loss begins or ends, as inference does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ftc.data.ragged import running
from ftc.data.rendering.example import Rendered
from ftc.data.tokens.joints import Joints
from ftc.data.tokens.pieces import Pieces
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


@dataclass(frozen=True, slots=True)
class Cuts:
    """Rows cut into stretches that are encoded apart; row i has the stretches `bounds[i]:bounds[i + 1]`.

    Each stretch carries loss or not, and belongs to what inference is given or not. `ends` is where each
    row's prompt ends (-1: it has none).
    """

    texts: list[str]
    trained: bytearray
    prompt: bytearray
    bounds: list[int]
    ends: list[int]

    def prompts(self, row: int) -> list[str]:
        """The stretches that inference is given, of one row."""
        start, end = self.bounds[row], self.bounds[row + 1]
        return self.texts[start : start + self.prompt.count(1, start, end)]

    def before(self) -> Iterator[str]:
        """What stands before each stretch in its row; empty before the first of a row."""
        begins = set(self.bounds)
        return ("" if at in begins else self.texts[at - 1] for at in range(len(self.texts)))


def boundary(rendered: Rendered) -> int:
    """Where the prompt ends in the text; -1 where the row has none, or does not begin with it."""
    prompt, at = rendered.prompt, 0
    if prompt is None:
        return -1
    for piece in rendered.pieces:
        rest = len(prompt) - at
        if rest <= len(piece.text):
            return len(prompt) if piece.text.startswith(prompt[at:]) else -1
        if not prompt.startswith(piece.text, at):
            return -1
        at += len(piece.text)
    return -1 if prompt[at:] else len(prompt)


def cut(rows: Sequence[Rendered]) -> Cuts:
    """The rows' texts, cut where the loss begins or ends and where the prompt ends, and nowhere else."""
    found = Cuts([], bytearray(), bytearray(), [0], [boundary(rendered) for rendered in rows])
    for rendered, end in zip(rows, found.ends, strict=True):
        at = 0
        for piece in rendered.pieces:
            text, stop = piece.text, at + len(piece.text)
            if at < end < stop:
                _append(found, text[: end - at], piece.trained, 1)
                text = text[end - at :]
            if text:
                _append(found, text, piece.trained, stop <= end)
            at = stop
        found.bounds.append(len(found.texts))
    return found


def _append(found: Cuts, text: str, trained: bool, prompt: int) -> None:
    """Add a stretch to the last row; to the stretch before it, if that is of its kind."""
    texts = found.texts
    if len(texts) > found.bounds[-1] and (found.trained[-1], found.prompt[-1]) == (trained, prompt):
        texts[-1] += text
        return
    texts.append(text)
    found.trained.append(trained)
    found.prompt.append(prompt)


class Encoder:
    """A back end with the plan's policy: `bos`, if there is one, begins every row and carries no loss.

    `joints` tells the rows whose prompt does not come out as inference would encode it.
    """

    def __init__(self, pieces: Pieces, bos: int | None, joints: Joints) -> None:
        self._pieces = pieces
        self._bos = bos
        self._joints = joints

    def encode(self, rows: Sequence[Rendered], whole: Sequence[int] = ()) -> Tokens:
        """The rows as tokens, in order.

        The prompts of the rows `whole` are compared in full with what they are encoded to in one.
        """
        cuts = cut(rows)
        tokens, offsets = self._pieces.joined(cuts.texts, cuts.before())
        lengths = np.diff(offsets)
        in_prompt = np.frombuffer(cuts.prompt, dtype=np.uint8) * lengths
        bounds = np.array(cuts.bounds, dtype=np.int64)
        found = Tokens(
            tokens=tokens,
            mask=np.repeat(np.frombuffer(cuts.trained, dtype=np.uint8), lengths),
            offsets=offsets[bounds],
            prompts=np.diff(running(in_prompt)[bounds]).astype(np.int32),
            unlike=tuple(self._joints.unlike(cuts, whole)),
        )
        found.prompts[np.array(cuts.ends, dtype=np.int64) < 0] = NO_PROMPT
        return found if self._bos is None else begun(found, self._bos)


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
