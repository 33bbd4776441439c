"""New tokens: the base's tokenizer with them, as the data compiler reads it and as the run keeps it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ftc.plan.steps import NewToken

TOKENIZER = "tokenizer.json"
CONFIG = "tokenizer_config.json"
ADDED = "added_tokens.json"
NAMES = "added_tokens_decoder"


def enlarged(tokenizer: Path, tokens: Sequence[NewToken]) -> str:
    """The text of a tokenizer.json with more tokens, each of which is one token wherever it stands.

    Raises ValueError unless they get the numbers that they are known by.
    """
    from tokenizers import AddedToken, Tokenizer

    made = Tokenizer.from_file(str(tokenizer))
    for token in tokens:
        made.add_tokens([AddedToken(token.text, special=token.special, normalized=False)])
        if made.token_to_id(token.text) != token.id:
            raise ValueError(f"`{token.text}` is not token {token.id} of {tokenizer}")
    text: str = made.to_str(pretty=True)
    return text


def write_tokenizer(base: Path, names: Sequence[str], target: Path, tokens: Sequence[NewToken]) -> None:
    """Write the tokenizer's files of a base, those of `names` that it has, with more tokens."""
    target.mkdir(parents=True, exist_ok=True)
    for name in (*names, CONFIG):
        if (base / name).is_file():
            shutil.copyfile(base / name, target / name)
    (target / TOKENIZER).write_text(enlarged(base / TOKENIZER, tokens), encoding="utf-8")
    if (target / ADDED).is_file():
        _rewrite(target / ADDED, {token.text: token.id for token in tokens})
    config = json.loads((target / CONFIG).read_text(encoding="utf-8")) if (target / CONFIG).is_file() else {}
    if NAMES in config:
        more = {str(token.id): _described(token) for token in tokens}
        _rewrite(target / CONFIG, {NAMES: {**config[NAMES], **more}})


def _described(token: NewToken) -> dict[str, Any]:
    plain = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    return {"content": token.text, "special": token.special, **plain}


def _rewrite(file: Path, more: dict[str, Any]) -> None:
    value = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**value, **more}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
