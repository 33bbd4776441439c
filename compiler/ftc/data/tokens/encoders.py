"""Tokenizer back ends: texts to flat arrays of tokens.

`tokenizers` is the reference. A faster one serves while it gives the same tokens (`gate` tells), so the
compiled bytes do not depend on which of them there is.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ftc.data.ragged import offsets_of
from ftc.data.work.batch import Int32, Int64

REFERENCE = "tokenizers"
RENEWED_AFTER = 256 << 20
"""Characters after which `fastokens` is loaded anew: it remembers every word it has met, without a bound."""


class Unfit(Exception):  # noqa: N818 - it asks for another back end
    """A back end that cannot be used for this tokenizer, or gives other tokens than the reference."""


@dataclass(frozen=True)
class Traits:
    """What a tokenizer does with texts that are cut; the properties of `Tokenizers` say more."""

    begins_texts: bool
    splits_first: bool
    safe_added: tuple[str, ...]


class Backend(Protocol):
    """Encodes texts, special tokens in them included, and adds nothing."""

    def text(self, token: int) -> str:
        """The text of a token."""

    def encode(self, texts: Sequence[str]) -> tuple[Int32, Int64]:
        """The tokens of all texts, and where each begins (one offset more than there are texts)."""


class Tokenizers:
    """The library `tokenizers`, which is the reference for all others."""

    def __init__(self, file: Path) -> None:
        from tokenizers import Tokenizer, processors

        self._tokenizer: Any = Tokenizer.from_file(str(file))
        self._tokenizer.post_processor = processors.Sequence([])  # it may take white space off the places
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

    def encodings(self, texts: Sequence[str]) -> list[Any]:
        """The encodings of texts, with the place of each token in its text (white space included)."""
        return list(self._tokenizer.encode_batch(texts, add_special_tokens=False))

    @property
    def traits(self) -> Traits:
        """What it does with texts that are cut."""
        return Traits(self.begins_texts, self.splits_first, self.safe_added)

    @cached_property
    def begins_texts(self) -> bool:
        """Whether it puts something before each text, as Llama 2's does, so that a text cannot be cut."""
        line, word, both = (encoding.ids for encoding in self.encodings(["\n", "x", "\nx"]))
        return bool(line + word != both)

    @cached_property
    def splits_first(self) -> bool:
        """Whether it splits texts by a pattern of characters before anything else, as byte-level ones do."""
        splits = self._tokenizer.pre_tokenizer
        found = "" if splits is None else json.dumps(json.loads(splits.__getstate__()))
        return '"ByteLevel"' in found and ('"Regex"' in found or '"use_regex": true' in found)

    @cached_property
    def safe_added(self) -> tuple[str, ...]:
        """Texts of added tokens which are taken out of any text first, whatever stands beside them."""
        tokens = self._tokenizer.get_added_tokens_decoder().values()
        plain = self._tokenizer.normalizer is None
        return tuple(
            token.content
            for token in tokens
            if not (token.lstrip or token.rstrip or token.single_word) and (plain or not token.normalized)
        )


class Fastokens:
    """The library `fastokens`, many times faster. Raises Unfit for a tokenizer it does not know."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._load()

    def _load(self) -> None:
        from fastokens import Tokenizer

        self._tokenizer: Any = None  # the one before goes first
        self._tokenizer = _tried(lambda: Tokenizer.from_file(str(self._file)))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._left = RENEWED_AFTER

    def text(self, token: int) -> str:
        """The text of a token."""
        return str(self._tokenizer.id_to_token(token))

    def encode(self, texts: Sequence[str]) -> tuple[Int32, Int64]:
        """The tokens of all texts, and where each begins; raises Unfit."""
        if self._left < 0:
            self._load()
        self._left -= sum(map(len, texts))
        tokens, offsets = _tried(lambda: self._tokenizer.encode_batch_flat(texts))
        return np.frombuffer(tokens, dtype="<i4"), np.frombuffer(offsets, dtype="<i8")


def _tried(work: Callable[[], Any]) -> Any:
    """What a young library does; whatever goes wrong in it means that it cannot be used."""
    try:
        return work()
    except (ValueError, RuntimeError, OverflowError, NotImplementedError) as error:
        raise Unfit(str(error)) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # Rust's, which is no Exception
            raise
        raise Unfit(str(error)) from error


BACKENDS: dict[str, Callable[[Path], Backend]] = {"fastokens": Fastokens, REFERENCE: Tokenizers}
"""The back ends in the order in which they are tried, by the package that each needs."""


def installed() -> tuple[str, ...]:
    """The back ends that there are, the reference last."""
    return tuple(name for name in BACKENDS if find_spec(name) is not None)
