"""BOFT: orthogonal fine-tuning by blocks, with a trained scale of each output (Liu et al., 2023)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ftc.plan.steps import TuneStep
from ftc.tuning.base import Method, Problem
from ftc.tuning.modules import Modules
from ftc.tuning.targets import (
    TargetOptions,
    all_linear,
    divides,
    listed,
    no_transposed,
    option,
    per_layer,
    target_problems,
)


class BoftOptions(TargetOptions):
    """`[tune]` with `method = "boft"`."""

    method: Literal["boft"]
    """Train rotations of blocks of the inputs, and a scale of each output."""

    block: Annotated[int, Field(ge=2, le=256)] = 4
    """Inputs that turn together; it must divide each layer's inputs."""

    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability with which a block is left unturned in training."""


def lower(options: BoftOptions, _: Modules | None) -> TuneStep:
    """The arguments of PEFT's `BOFTConfig`: one factor, as more need its CUDA extension."""
    return TuneStep(
        method="boft",
        peft={
            "type": "BOFTConfig",
            "task_type": "CAUSAL_LM",
            "boft_block_size": options.block,
            "boft_n_butterfly_factor": 1,
            "boft_dropout": options.dropout,
            "target_modules": listed(options.targets),
            "bias": "none",
        },
    )


def problems(options: BoftOptions, modules: Modules) -> tuple[Problem, ...]:
    """Layer names that do not fit, and blocks that do not fill a layer."""
    layers = modules.targeted(listed(options.targets))
    return (
        *target_problems(options, modules),
        *divides("block", options.block, layers, "blocks"),
        *no_transposed("BOFT", modules),
    )


METHOD = Method(
    name="boft",
    title="BOFT",
    options=BoftOptions,
    lower=lower,
    count=per_layer(lambda step, layer: option(step, "boft_block_size") * layer.inputs + layer.outputs),
    learning_rate=4e-4,
    learning_rate_reason="rotations begin at nothing and take steps like LoRA's, or somewhat larger",
    defaults=all_linear,
    problems=problems,
)
