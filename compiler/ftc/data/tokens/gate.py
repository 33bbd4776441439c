"""The parity gate: texts of this very data go through the reference too, and the tokens must be equal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zlib import crc32

import numpy as np

from ftc.data.ragged import gather, offsets_of
from ftc.data.tokens.encoders import Backend, Tokenizers, Traits, Unfit
from ftc.data.work.batch import Int32, Int64

FIRST = 64
"""Texts that every process begins with are all compared."""

ONE_OF, ALIKE = 100, 50_000
"""One text of `ONE_OF` is compared, chosen by the hash of the text.

Behind the first `ALIKE` texts of a process fewer are: as many again each time they are 2.7 times as many.
"""

SHORT = 64
"""Characters of a short text; each that comes again is compared once, up to MOST of them."""

MOST, REMEMBERED = 4096, 100_000
SHOWN = 60


@dataclass(frozen=True, slots=True)
class Samples:
    """Texts that are to be compared, and their tokens by the back end in use."""

    texts: list[str]
    tokens: Int32
    offsets: Int64


class Sampled:
    """A back end whose work is kept in samples; `taken` hands them over."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._first, self._met = FIRST, 0
        self._seen: set[str] = set()
        self._again: set[str] = set()
        self._kept: list[tuple[list[str], Int32, Int64]] = []

    def text(self, token: int) -> str:
        """The text of a token."""
        return self._backend.text(token)

    def encode(self, texts: Sequence[str]) -> tuple[Int32, Int64]:
        """The tokens of all texts, and where each begins; raises Unfit."""
        tokens, offsets = self._backend.encode(texts)
        rows = self._chosen(texts)
        lengths = np.diff(offsets)[rows]
        self._kept.append(([texts[row] for row in rows], gather(tokens, offsets[rows], lengths), lengths))
        return tokens, offsets

    def _chosen(self, texts: Sequence[str]) -> list[int]:
        """The numbers of the texts that are compared."""
        first = min(self._first, len(texts))
        self._first -= first
        self._met += len(texts)
        below = (1 << 32) * ALIKE // (ONE_OF * max(self._met, ALIKE))
        return [
            number
            for number, text in enumerate(texts)
            if number < first
            or crc32(text.encode()) < below
            or (len(text) <= SHORT and self._comes_again(text))
        ]

    def _comes_again(self, text: str) -> bool:
        if text not in self._seen:
            if len(self._seen) < REMEMBERED:
                self._seen.add(text)
            return False
        if text in self._again or len(self._again) >= MOST:
            return False
        self._again.add(text)
        return True

    def taken(self) -> Samples:
        """The samples since the last time."""
        kept, self._kept = self._kept, []
        return Samples(
            texts=[text for texts, _, _ in kept for text in texts],
            tokens=np.concatenate([np.zeros(0, np.int32), *(tokens for _, tokens, _ in kept)]),
            offsets=offsets_of(np.concatenate([np.zeros(0, np.int64), *(lengths for _, _, lengths in kept)])),
        )


class Gate:
    """Compares samples with the reference."""

    def __init__(self, file: Path) -> None:
        self._reference = Tokenizers(file)

    @cached_property
    def traits(self) -> Traits:
        """What the tokenizer does with texts that are cut."""
        return self._reference.traits

    def check(self, samples: Samples) -> None:
        """Raises Unfit where a text has other tokens than the reference gives it."""
        tokens, offsets = self._reference.encode(samples.texts)
        if np.array_equal(tokens, samples.tokens) and np.array_equal(offsets, samples.offsets):
            return
        for row, text in enumerate(samples.texts):
            right = tokens[offsets[row] : offsets[row + 1]]
            if not np.array_equal(right, samples.tokens[samples.offsets[row] : samples.offsets[row + 1]]):
                shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
                raise Unfit(f"it encodes {shown!r} to other tokens than `tokenizers` does")
