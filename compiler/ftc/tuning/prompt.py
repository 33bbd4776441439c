"""Prompt tuning: trained embeddings before every prompt (Lester et al., 2021)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from ftc.plan.steps import TuneStep
from ftc.recipe.base import Text
from ftc.tuning.base import Defaulted, Method, Options
from ftc.tuning.modules import Modules
from ftc.tuning.targets import option


class PromptOptions(Options):
    """`[tune]` with `method = "prompt"`."""

    method: Literal["prompt"]
    """Train the embeddings of virtual tokens that stand before every row; the model stays."""

    tokens: Annotated[int, Field(ge=1, le=4096)] = 20
    """Number of virtual tokens."""

    text: Text | None = None
    """What the virtual tokens begin as, such as the task in words; random tokens unless given."""


def lower(options: PromptOptions, _: Modules | None) -> TuneStep:
    """The arguments of PEFT's `PromptTuningConfig`; the runtime adds where the tokenizer is."""
    peft: dict[str, JsonValue] = {
        "type": "PromptTuningConfig",
        "task_type": "CAUSAL_LM",
        "num_virtual_tokens": options.tokens,
        "prompt_tuning_init": "TEXT" if options.text else "SAMPLE_VOCAB",
    }
    if options.text:
        peft["prompt_tuning_init_text"] = options.text
    return TuneStep(method="prompt", peft=peft)


def defaults(options: PromptOptions, _: TuneStep) -> tuple[Defaulted, ...]:
    """What the virtual tokens begin as, where the recipe has no text."""
    if options.text:
        return ()
    reason = "embeddings of tokens drawn by the seed; noise lies far from all that the model has seen"
    return (Defaulted("text", None, reason),)


METHOD = Method(
    name="prompt",
    title="prompt tuning",
    options=PromptOptions,
    lower=lower,
    count=lambda step, modules: option(step, "num_virtual_tokens") * modules.hidden,
    learning_rate=3e-2,
    learning_rate_reason="few numbers far from the loss: prompt tuning needs steps a hundred times LoRA's",
    defaults=defaults,
    merges=False,
    packs=False,
)
