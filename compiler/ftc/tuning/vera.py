"""VeRA: shared frozen random factors, with trained scales in each layer (Kopiczko et al., 2023)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ftc.plan.steps import TuneStep
from ftc.tuning.base import Method
from ftc.tuning.modules import Modules
from ftc.tuning.targets import TargetOptions, all_linear, listed, option, per_layer, target_problems


class VeraOptions(TargetOptions):
    """`[tune]` with `method = "vera"`."""

    method: Literal["vera"]
    """Train two vectors of scales a layer; the random factors between them are shared and stay."""

    rank: Annotated[int, Field(ge=1, le=8192)] = 256
    """Rank of the shared factors; it costs few numbers, so it is higher than LoRA's."""

    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability with which an adapter's input is dropped in training."""


def lower(options: VeraOptions, _: Modules | None) -> TuneStep:
    """The arguments of PEFT's `VeraConfig`; the shared factors are saved with the scales."""
    return TuneStep(
        method="vera",
        peft={
            "type": "VeraConfig",
            "task_type": "CAUSAL_LM",
            "r": options.rank,
            "vera_dropout": options.dropout,
            "target_modules": listed(options.targets),
            "save_projection": True,
        },
    )


METHOD = Method(
    name="vera",
    title="VeRA",
    options=VeraOptions,
    lower=lower,
    count=per_layer(lambda step, layer: option(step, "r") + layer.outputs),
    learning_rate=4e-3,
    learning_rate_reason="that of the VeRA paper: scales need larger steps than factors",
    defaults=all_linear,
    problems=target_problems,
)
