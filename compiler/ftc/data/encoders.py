"""Tokenizer back ends: texts to flat arrays of tokens."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ftc.data.batch import Int32, Int64
from ftc.data.ragged import offsets_of


class Backend(Protocol):
    """Encodes texts, special tokens in them included, and adds nothing."""

    def encode(self, texts: Sequence[str]) -> tuple[Int32, Int64]:
        """The tokens of all texts, and where each begins (one offset more than there are texts)."""


class Tokenizers:
    """The library `tokenizers`, which is the reference for all others."""

    def __init__(self, file: Path) -> None:
        from tokenizers import Tokenizer

        self._tokenizer: Any = Tokenizer.from_file(str(file))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def text(self, token: int) -> str:
        """The text of a token."""
        return str(self._tokenizer.id_to_token(token))

    def encode(self, texts: Sequence[str]) -> tuple[Int32, Int64]:
        """The tokens of all texts, and where each begins."""
        tokens, lengths = array("i"), []
        for encoding in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False):
            ids = encoding.ids
            tokens.extend(ids)
            lengths.append(len(ids))
        flat = np.frombuffer(tokens, dtype=np.int32) if tokens else np.zeros(0, dtype=np.int32)
        return flat, offsets_of(np.array(lengths, dtype=np.int64))
