"""What a model directory says of its tokenizer, read without transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ftc.facts.cache import Cache
from ftc.facts.digests import file_digest
from ftc.plan.steps import TokenizerStep

TOKENIZER_FILE = "tokenizer.json"
TOLD = 2
"""The version of what is remembered of a tokenizer."""
ROLES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")
END_OF_TURN = (
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<end_of_turn>",
    "<turn|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|eot|>",
    "</s>",
)
"""Strings which published chat templates end an assistant's turn with."""


@dataclass(frozen=True)
class TokenizerFacts:
    """The tokenizer of one model directory.

    `special_tokens` maps a role (`eos_token`) to its text; `added` maps the text of every added token
    to its id, `words` that of the special tokens which are plain words of the vocabulary. `first_id` is
    what the tokenizer begins every text with. `generation_eos` are the ids at which generation stops by the
    model's own configuration.
    """

    file: Path
    sha256: str
    special_tokens: Mapping[str, str]
    added: Mapping[str, int]
    words: Mapping[str, int]
    first_id: int | None
    chat_template: str | None
    generation_eos: tuple[int, ...]
    last_id: int | None = None
    """What the tokenizer itself puts behind every text; None where it puts nothing there."""

    def token_id(self, text: str) -> int | None:
        """The id of an added or a special token given by its text."""
        return self.added.get(text, self.words.get(text))

    @property
    def bos_id(self) -> int | None:
        """The token that the tokenizer itself puts before a text; None where it adds none."""
        bos = self.special_tokens.get("bos_token") or self.special_tokens.get("cls_token")
        return self.first_id if bos and self.first_id == self.token_id(bos) else None

    @property
    def eos_id(self) -> int | None:
        """What ends a text: the end token, the first at which generation stops, or an encoder's separator."""
        eos, separator = (self.special_tokens.get(role) for role in ("eos_token", "sep_token"))
        own = self.token_id(eos) if eos else None
        stops = own if own is not None else next(iter(self.generation_eos), None)
        return stops if stops is not None or separator is None else self.token_id(separator)

    @property
    def pad_id(self) -> int | None:
        """The padding token; None where the tokenizer has none."""
        pad = self.special_tokens.get("pad_token")
        return self.token_id(pad) if pad else None

    @property
    def stop_tokens(self) -> tuple[str, ...]:
        """Tokens that may end a turn, the tokenizer's end token first."""
        stops = [text for text, number in self.added.items() if number in self.generation_eos]
        known = [text for text in END_OF_TURN if text in self.added]
        eos = self.special_tokens.get("eos_token")
        return tuple(dict.fromkeys(([eos] if eos else []) + stops + known))

    def step(self, eos_id: int, pad_id: int) -> TokenizerStep:
        """The tokenizer's part of the plan."""
        return TokenizerStep(
            special_tokens=dict(sorted(self.special_tokens.items())),
            bos_id=self.bos_id,
            eos_id=eos_id,
            pad_id=pad_id,
        )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; empty where there is no such file. Raises ValueError when malformed."""
    if not path.is_file():
        return {}
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} is not a JSON object")  # noqa: TRY004 - the file is at fault
    return value


def _token_text(value: Any) -> str | None:
    text = value.get("content") if isinstance(value, dict) else value
    return text if isinstance(text, str) else None


def _special_tokens(directory: Path, config: Mapping[str, Any]) -> dict[str, str]:
    declared = {**read_json(directory / "special_tokens_map.json"), **config}
    texts = {role: _token_text(declared.get(role)) for role in ROLES}
    return {role: text for role, text in texts.items() if text is not None}


def _chat_template(directory: Path, config: Mapping[str, Any]) -> str | None:
    """The template as transformers looks for it: its own file first, then the tokenizer's configuration."""
    file = directory / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    template = config.get("chat_template")
    if isinstance(template, list):
        named = {entry["name"]: entry["template"] for entry in template}
        template = named.get("default")
    return template if isinstance(template, str) else None


def _generation_eos(directory: Path) -> tuple[int, ...]:
    for name in ("generation_config.json", "config.json"):
        eos = read_json(directory / name).get("eos_token_id")
        if isinstance(eos, int):
            return (eos,)
        if isinstance(eos, list):
            return tuple(eos)
    return ()


def read_tokenizer(directory: Path, cache: Cache | None = None) -> TokenizerFacts:
    """The tokenizer of a model directory that has a `tokenizer.json`, which may be large and is read once.

    Raises ValueError (JSON that is malformed) and OSError.
    """
    cache = cache or Cache()
    file = directory / TOKENIZER_FILE
    digest = file_digest(file, TOKENIZER_FILE, cache).sha256
    config = read_json(directory / "tokenizer_config.json")
    special = _special_tokens(directory, config)
    key = sha256(json.dumps([TOLD, digest, special, version("tokenizers")]).encode()).hexdigest()
    known = cache.recall("tokenizer", key)
    if known is None:
        known = json.dumps(_told(json.loads(file.read_bytes()), special)).encode()
        cache.remember("tokenizer", key, known)
    return TokenizerFacts(
        file=file,
        sha256=digest,
        special_tokens=special,
        chat_template=_chat_template(directory, config),
        generation_eos=_generation_eos(directory),
        **json.loads(known),
    )


def _told(content: dict[str, Any], special: Mapping[str, str]) -> dict[str, Any]:
    """What the file says of added tokens, of special tokens that are words, and of how a text begins."""
    added = {token["content"]: token["id"] for token in content.get("added_tokens", [])}
    vocabulary = content["model"]["vocab"]
    if isinstance(vocabulary, list):  # words with their scores, in the order of their ids
        vocabulary = {word: number for number, (word, _) in enumerate(vocabulary)}
    wanted = sorted(set(special.values()) - added.keys())
    words = {text: vocabulary[text] for text in wanted if text in vocabulary}
    return {"added": added, "words": words, **_ends(content)}


def _ends(content: dict[str, Any]) -> dict[str, int | None]:
    """The first token of an empty text, and what stands behind a text of one token.

    The post-processor puts them there, and no vocabulary is needed.
    """
    from tokenizers import Tokenizer

    if content.get("post_processor") is None:
        return {"first_id": None, "last_id": None}
    model = {"type": "WordLevel", "vocab": {"x": 0}, "unk_token": "x"}
    empty = {
        "version": "1.0",
        "added_tokens": [],
        "model": model,
        "post_processor": content["post_processor"],
    }
    try:
        made = Tokenizer.from_str(json.dumps(empty))
        ids, whole = made.encode("", add_special_tokens=True).ids, made.encode("x", add_special_tokens=True)
    except Exception as error:
        raise ValueError(f"{TOKENIZER_FILE}: {error}") from error
    put = bool(whole.special_tokens_mask and whole.special_tokens_mask[-1])
    return {"first_id": ids[0] if ids else None, "last_id": whole.ids[-1] if put else None}
