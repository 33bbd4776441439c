"""OFT: frozen weights turned by trained rotations of blocks of their inputs (Qiu et al., 2023)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ftc.plan.steps import TuneStep
from ftc.tuning.base import Method, Problem
from ftc.tuning.modules import Module, Modules
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


class OftOptions(TargetOptions):
    """`[tune]` with `method = "oft"`."""

    method: Literal["oft"]
    """Train rotations of the inputs, which keep the angles between a layer's neurons."""

    block: Annotated[int, Field(ge=2, le=1024)] = 32
    """Inputs that turn together; it must divide each layer's inputs."""

    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability with which a block is left unturned in training."""


def lower(options: OftOptions, _: Modules | None) -> TuneStep:
    """The arguments of PEFT's `OFTConfig`."""
    return TuneStep(
        method="oft",
        peft={
            "type": "OFTConfig",
            "task_type": "CAUSAL_LM",
            "r": 0,
            "oft_block_size": options.block,
            "module_dropout": options.dropout,
            "target_modules": listed(options.targets),
            "bias": "none",
        },
    )


def numbers(step: TuneStep, layer: Module) -> int:
    """A skew-symmetric matrix for each block of a layer's inputs."""
    block = option(step, "oft_block_size")
    return layer.inputs // block * (block * (block - 1) // 2)


def problems(options: OftOptions, modules: Modules) -> tuple[Problem, ...]:
    """Layer names that do not fit, and blocks that do not fill a layer."""
    layers = modules.targeted(listed(options.targets))
    return (
        *target_problems(options, modules),
        *divides("block", options.block, layers, "blocks"),
        *no_transposed("OFT", modules),
    )


METHOD = Method(
    name="oft",
    title="OFT",
    options=OftOptions,
    lower=lower,
    count=per_layer(numbers),
    learning_rate=4e-4,
    learning_rate_reason="rotations begin at nothing and take steps like LoRA's, or somewhat larger",
    defaults=all_linear,
    problems=problems,
)
