"""The recipe's new tokens: whether they can be added, their numbers, and the tokenizer that knows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ftc.diagnostics import Finding
from ftc.facts.cache import Cache, cache_key, code_digest
from ftc.facts.digests import file_digest
from ftc.facts.machine import package_versions
from ftc.facts.model import ModelFacts
from ftc.plan.steps import NewToken
from ftc.recipe.load import Origins
from ftc.recipe.model import AddedToken
from ftc.tuning.new_tokens import TOKENIZER, enlarged

KEY = ("model", "new_tokens")
CODE = ("tuning/new_tokens.py",)


def with_new_tokens(
    facts: ModelFacts, wanted: Sequence[AddedToken], origins: Origins, cache: Cache
) -> ModelFacts | Finding:
    """The model with more tokens: its tokenizer has them, and its embedding has rows for them.

    Rows that the embedding has beyond the tokenizer's tokens are used first.
    """
    from tokenizers import Tokenizer

    own = Tokenizer.from_file(str(facts.tokenizer.file))
    problem = next(_problems(wanted, own, origins), None)
    if problem is not None:
        return problem
    first = max(own.get_vocab(with_added_tokens=True).values()) + 1
    tokens = tuple(
        NewToken(
            text=token.text,
            id=first + place,
            special=token.special,
            pieces=tuple(own.encode(token.text, add_special_tokens=False).ids),
        )
        for place, token in enumerate(wanted)
    )
    key = _key(facts, tokens)
    with cache.alone("vocabulary", key):
        if cache.entry("vocabulary", key) is None:
            with cache.store("vocabulary", key) as directory:
                (directory / TOKENIZER).write_text(enlarged(facts.tokenizer.file, tokens), encoding="utf-8")
    return _grown(facts, tokens, cache, key)


def _key(facts: ModelFacts, tokens: Sequence[NewToken]) -> str:
    inputs = {
        "tokenizer": facts.tokenizer.sha256,
        "tokens": [token.model_dump(mode="json") for token in tokens],
        "tokenizers": package_versions().get("tokenizers"),
    }
    return cache_key("vocabulary", inputs, {}, code=code_digest(*CODE))


def _grown(facts: ModelFacts, tokens: tuple[NewToken, ...], cache: Cache, key: str) -> ModelFacts:
    file = cache.place("vocabulary", key) / TOKENIZER
    tokenizer = replace(
        facts.tokenizer,
        file=file,
        sha256=file_digest(file, TOKENIZER, cache).sha256,
        added={**facts.tokenizer.added, **{token.text: token.id for token in tokens}},
    )
    size = max(facts.vocabulary or 0, tokens[-1].id + 1)
    text = {**facts.text_config, "vocab_size": size}
    nested = isinstance(facts.config.get("text_config"), dict)
    config: dict[str, Any] = {**facts.config, "text_config": text} if nested else text
    return replace(facts, tokenizer=tokenizer, config=config, new_tokens=tokens, base=facts)


def _problems(wanted: Sequence[AddedToken], own: Any, origins: Origins) -> Iterator[Finding]:
    """FTC546 for tokens that are there already, that stand there twice, or that are white space."""
    known, seen = own.get_vocab(with_added_tokens=True), set[str]()
    for place, token in enumerate(wanted):
        why = None
        if not token.text.strip() or token.text != token.text.strip():
            why = "it begins or ends with white space, which tokenizers treat in many ways"
        elif token.text in known or len(own.encode(token.text, add_special_tokens=False).ids) == 1:
            why = "the model's tokenizer has it as one token already"
        elif token.text in seen:
            why = "it stands there twice"
        seen.add(token.text)
        if why is not None:
            message = f"`{token.text}` cannot be a new token: {why}"
            yield Finding("FTC546", message, origins.value(*KEY, place), help=("remove it",))
