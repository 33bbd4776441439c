"""What embeddings ask of a base, of a tuning method and of the tokenizer."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Literal

from pydantic import JsonValue

from ftc.diagnostics import Finding
from ftc.facts.model import MODULES, ModelFacts
from ftc.plan.context import Context, choice
from ftc.plan.steps import Choice, TokenizerStep
from ftc.recipe.suggest import listed

Pooling = Literal["mean", "last", "cls"]
METHODS = ("full", "lora")
"""The tuning methods of embeddings."""

INITS = ("default", "gaussian", "orthogonal")
"""Beginnings of LoRA which leave the base as it is and look at no rows."""

POOLER = "pooler.dense"
"""The layer of an encoder that its own first task read, and embeddings do not."""


def unfit(context: Context, pooling: Pooling | None) -> Iterator[Finding]:
    """FTC517 for what keeps this base from becoming an embedding model by this method."""
    model, origins = context.facts.model, context.origins
    base = origins.value("model", "base")
    if find_spec("sentence_transformers") is None:
        message = "embeddings are trained by sentence-transformers, which is not installed"
        yield Finding("FTC517", message, base, help=("pip install 'ftc[embed]'",))
    if model.new_tokens:
        message = "new tokens are for language models that write, and not for embeddings"
        yield Finding("FTC517", message, origins.value("model", "new_tokens"), help=("remove them",))
    if pooling is not None and pools_itself(model):
        message = "the base says itself how the vectors of its tokens become one"
        span = origins.value("train", "objective", "pooling")
        yield Finding("FTC517", message, span, help=("remove `pooling`",))
    if pooling == "cls" and model.writes:
        message = "the first token of a causal language model sees no other, so it cannot stand for a text"
        span = origins.value("train", "objective", "pooling")
        yield Finding("FTC517", message, span, help=('write pooling = "last"',))
    yield from _method(context)


def _method(context: Context) -> Iterator[Finding]:
    tune, origins = context.recipe.tune, context.origins
    if tune.method not in METHODS:
        message = f"embeddings are trained by {listed(METHODS)}, and not by {tune.method}"
        span = origins.value("tune", "method")
        yield Finding("FTC517", message, span, help=('write method = "lora" under [tune]',))
    init = getattr(tune, "init", "default")
    if tune.method == "lora" and init not in INITS:
        message = f"adapters of embeddings begin as {listed(INITS)}, and not as {init}"
        yield Finding("FTC517", message, origins.value("tune", "init"), help=("remove `init`",))
    if getattr(tune, "modules_to_save", None):
        message = "modules of embeddings that train whole beside adapters are not offered"
        span = origins.value("tune", "modules_to_save")
        yield Finding("FTC517", message, span, help=('remove them, or write method = "full"',))


def pools_itself(model: ModelFacts) -> bool:
    """Whether the base is a directory of sentence-transformers, which lists its modules."""
    return (model.directory / MODULES).is_file()


def pooled(context: Context, stated: Pooling | None) -> tuple[Pooling | None, tuple[Choice, ...]]:
    """How the vectors of a text's tokens become one; None where the base says so itself."""
    model = context.facts.model
    if stated is not None or pools_itself(model):
        return stated, ()
    if model.writes:
        reason = "the last token of a causal language model is the only one that has seen the whole text"
        return "last", (choice("train.objective.pooling", "last", reason),)
    reason = "every token of an encoder sees the whole text; the mean is usual"
    return "mean", (choice("train.objective.pooling", "mean", reason),)


def ended(step: TokenizerStep, context: Context) -> TokenizerStep:
    """The tokenizer's step with the token that the tokenizer itself ends a text with, if it has one."""
    last = context.facts.model.tokenizer.last_id
    return step if last is None else step.model_copy(update={"eos_id": last})


def adapter(peft: dict[str, JsonValue], context: Context) -> dict[str, JsonValue]:
    """PEFT's options for a model without a head."""
    names = context.facts.model.tensor_names
    left: dict[str, JsonValue] = {"exclude_modules": [POOLER]} if _pooler(names) else {}
    return peft | {"task_type": "FEATURE_EXTRACTION", **left}


def _pooler(names: tuple[str, ...]) -> bool:
    return any(name.endswith(f"{POOLER}.weight") for name in names)


__all__ = ["METHODS", "adapter", "ended", "pooled", "pools_itself", "unfit"]
