"""Prefix tuning: trained keys and values before every row, in each layer (Li and Liang, 2021)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ftc.plan.steps import TuneStep
from ftc.tuning.base import Method, Options
from ftc.tuning.modules import Modules
from ftc.tuning.targets import option


class PrefixOptions(Options):
    """`[tune]` with `method = "prefix"`."""

    method: Literal["prefix"]
    """Train keys and values of virtual tokens that every row attends to, in each layer; the model stays."""

    tokens: Annotated[int, Field(ge=1, le=4096)] = 20
    """Number of virtual tokens."""


def lower(options: PrefixOptions, _: Modules | None) -> TuneStep:
    """The arguments of PEFT's `PrefixTuningConfig`."""
    return TuneStep(
        method="prefix",
        peft={
            "type": "PrefixTuningConfig",
            "task_type": "CAUSAL_LM",
            "num_virtual_tokens": options.tokens,
        },
    )


def count(step: TuneStep, modules: Modules) -> int:
    """A key and a value in each layer for each virtual token."""
    return option(step, "num_virtual_tokens") * modules.layers * 2 * modules.key_values


METHOD = Method(
    name="prefix",
    title="prefix tuning",
    options=PrefixOptions,
    lower=lower,
    count=count,
    learning_rate=1e-2,
    learning_rate_reason="few numbers, which begin as noise, need steps far larger than LoRA's",
    merges=False,
    packs=False,
    recomputes=False,
)
