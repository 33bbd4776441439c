"""LoHa: adapters as a Hadamard product of two low-rank products (Hyeon-Woo et al., 2021)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ftc.plan.steps import TuneStep
from ftc.tuning.base import Method, Problem
from ftc.tuning.modules import Modules
from ftc.tuning.targets import (
    TargetOptions,
    all_linear,
    listed,
    no_transposed,
    option,
    per_layer,
    target_problems,
)


class LohaOptions(TargetOptions):
    """`[tune]` with `method = "loha"`."""

    method: Literal["loha"]
    """Train adapters whose rank may reach the square of `rank`."""

    rank: Annotated[int, Field(ge=1, le=1024)] = 8
    """Rank of each of the two products."""

    alpha: Annotated[int, Field(gt=0)] | None = None
    """Scale of the adapters' output is alpha / rank; the rank unless given."""

    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability with which a layer's adapter is left out of a training step."""


def lower(options: LohaOptions, _: Modules | None) -> TuneStep:
    """The arguments of PEFT's `LoHaConfig`."""
    return TuneStep(
        method="loha",
        peft={
            "type": "LoHaConfig",
            "task_type": "CAUSAL_LM",
            "r": options.rank,
            "alpha": options.alpha or options.rank,
            "module_dropout": options.dropout,
            "target_modules": listed(options.targets),
        },
    )


def problems(options: LohaOptions, modules: Modules) -> tuple[Problem, ...]:
    """Layer names that do not fit, and model types that PEFT has no LoHa for."""
    return (*target_problems(options, modules), *no_transposed("LoHa", modules))


METHOD = Method(
    name="loha",
    title="LoHa",
    options=LohaOptions,
    lower=lower,
    count=per_layer(lambda step, layer: 2 * option(step, "r") * (layer.inputs + layer.outputs)),
    learning_rate=1e-3,
    learning_rate_reason="its product of four small factors moves slower than LoRA's of two",
    defaults=all_linear,
    problems=problems,
)
