"""P-tuning: virtual tokens before every prompt, made by a small trained network (Liu et al., 2021)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ftc.plan.steps import TuneStep
from ftc.tuning.base import Defaulted, Method, Options
from ftc.tuning.modules import Modules
from ftc.tuning.targets import option


class PTuningOptions(Options):
    """`[tune]` with `method = "p_tuning"`."""

    method: Literal["p_tuning"]
    """Train a network that makes the embeddings of virtual tokens before every row; the model stays."""

    tokens: Annotated[int, Field(ge=1, le=4096)] = 20
    """Number of virtual tokens."""

    hidden: Annotated[int, Field(ge=1, le=16384)] = 128
    """Width of the network's two inner layers; the network is not saved, only what it made."""


def lower(options: PTuningOptions, _: Modules | None) -> TuneStep:
    """The arguments of PEFT's `PromptEncoderConfig`."""
    return TuneStep(
        method="p_tuning",
        peft={
            "type": "PromptEncoderConfig",
            "task_type": "CAUSAL_LM",
            "num_virtual_tokens": options.tokens,
            "encoder_hidden_size": options.hidden,
        },
    )


def count(step: TuneStep, modules: Modules) -> int:
    """The virtual tokens' embeddings, and three linear layers with biases behind them."""
    width, inner = modules.hidden, option(step, "encoder_hidden_size")
    network = (width + 1) * inner + (inner + 1) * inner + (inner + 1) * width
    return option(step, "num_virtual_tokens") * width + network


def defaults(options: PTuningOptions, _: TuneStep) -> tuple[Defaulted, ...]:
    """The network's width, where the recipe leaves it open."""
    if "hidden" in options.model_fields_set:
        return ()
    return (Defaulted("hidden", options.hidden, "enough for some tens of virtual tokens"),)


METHOD = Method(
    name="p_tuning",
    title="P-tuning",
    options=PTuningOptions,
    lower=lower,
    count=count,
    learning_rate=1e-3,
    learning_rate_reason="that of a small network trained from nothing",
    defaults=defaults,
    merges=False,
    packs=False,
)
