"""Text becomes tokens: pieces are encoded apart where the loss begins or ends, as inference does."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftc.data.example import Refusal, Rendered
from ftc.plan.steps import LimitStep, TokenizerStep

REMEMBERED = 4096
"""Short pieces, such as the template's own headers and the answers of a closed set, that are kept."""

SHORT = 64
"""Characters of the longest piece that is kept."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A row as tokens, with a byte of 0 or 1 for each: does it carry loss.

    `prompt_length` is the number of tokens inference is given, None where there is no answer or the
    prompt is not how the text begins. `answer_length` counts the trained tokens after it. `truncated`
    says whether the end was cut.
    """

    ids: array[int]
    mask: bytearray
    prompt_length: int | None
    target: str | None
    answer_length: int
    truncated: bool = False


@dataclass(slots=True)
class _Cut:
    """A stretch of text that is encoded alone; `prompt` says whether inference is given it."""

    text: str
    trained: bool
    prompt: bool


@dataclass(slots=True)
class _Draft:
    ids: array[int] = field(default_factory=lambda: array("i"))
    mask: bytearray = field(default_factory=bytearray)
    prompt: int = 0

    def extend(self, ids: Sequence[int], *, trained: bool, prompt: bool) -> None:
        self.ids.extend(ids)
        self.mask.extend((b"\1" if trained else b"\0") * len(ids))
        self.prompt += len(ids) if prompt else 0


def cuts(rendered: Rendered) -> list[_Cut]:
    """The text cut where the loss begins or ends and where the prompt ends, and nowhere else."""
    prompt = rendered.prompt
    boundary = len(prompt) if prompt is not None and rendered.text.startswith(prompt) else 0
    found: list[_Cut] = []
    at = 0
    for piece in rendered.pieces:
        before = min(max(boundary - at, 0), len(piece.text))
        for text, in_prompt in ((piece.text[:before], True), (piece.text[before:], False)):
            _append(found, _Cut(text, piece.trained, in_prompt))
        at += len(piece.text)
    return found


def _append(found: list[_Cut], cut: _Cut) -> None:
    if not cut.text:
        return
    if found and (found[-1].trained, found[-1].prompt) == (cut.trained, cut.prompt):
        found[-1].text += cut.text
    else:
        found.append(cut)


class Encoder:
    """A `tokenizers` tokenizer with the plan's policy for special tokens and for rows that are too long."""

    def __init__(self, file: Path, step: TokenizerStep, limits: LimitStep, *, bos: bool) -> None:
        from tokenizers import Tokenizer

        self._tokenizer: Any = Tokenizer.from_file(str(file))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._bos = step.bos_id if bos else None
        self._step, self._limits = step, limits
        self._known: dict[str, Sequence[int]] = {}

    @property
    def eos(self) -> str:
        """The text of the end token."""
        return str(self._tokenizer.id_to_token(self._step.eos_id))

    def encode(self, rows: Sequence[Rendered]) -> list[Encoded | Refusal]:
        """The rows as tokens, in order; the texts of all rows are encoded in one batch."""
        cut_rows = [cuts(rendered) for rendered in rows]
        ids = self._encoded({cut.text for row in cut_rows for cut in row})
        return [
            self._limited(self._joined(rendered, row, ids))
            for rendered, row in zip(rows, cut_rows, strict=True)
        ]

    def _encoded(self, texts: set[str]) -> dict[str, Sequence[int]]:
        wanted = sorted(text for text in texts if text not in self._known)
        encodings = self._tokenizer.encode_batch_fast(wanted, add_special_tokens=False)
        new = {text: encoding.ids for text, encoding in zip(wanted, encodings, strict=True)}
        found = {text: self._known[text] for text in texts if text in self._known} | new
        room = REMEMBERED - len(self._known)
        self._known.update([(text, ids) for text, ids in new.items() if len(text) <= SHORT][: max(room, 0)])
        return found

    def _joined(self, rendered: Rendered, row: list[_Cut], ids: dict[str, Sequence[int]]) -> Encoded:
        draft = _Draft()
        if self._bos is not None:
            draft.extend([self._bos], trained=False, prompt=True)
        for cut in row:
            draft.extend(ids[cut.text], trained=cut.trained, prompt=cut.prompt)
        given = rendered.prompt is not None and rendered.text.startswith(rendered.prompt)
        return Encoded(
            ids=draft.ids,
            mask=draft.mask,
            prompt_length=draft.prompt if given else None,
            target=rendered.target if given else None,
            answer_length=draft.mask.count(1, draft.prompt) if given else 0,
        )

    def _limited(self, row: Encoded) -> Encoded | Refusal:
        most, length = self._limits.max_length, len(row.ids)
        if 1 not in row.mask:
            return Refusal("untrained", "FTC606", "no token of the row carries loss")
        if length <= most:
            return row
        if self._limits.too_long != "truncate":
            return Refusal("too_long", "FTC603", f"{length} tokens, and the limit is {most}")
        if 1 not in row.mask[:most]:
            reason = f"cut to {most} of its {length} tokens, nothing in it carries loss"
            return Refusal("untrained", "FTC603", reason)
        return Encoded(
            ids=row.ids[:most],
            mask=row.mask[:most],
            prompt_length=None if row.prompt_length is None else min(row.prompt_length, most),
            target=row.target,
            answer_length=row.mask.count(1, row.prompt_length or 0, most) if row.target is not None else 0,
            truncated=True,
        )
