"""LoKr: adapters as a Kronecker product, one of its factors of low rank (Yeh et al., 2023)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ftc.plan.steps import TuneStep
from ftc.tuning.base import Method, Problem
from ftc.tuning.modules import Module, Modules
from ftc.tuning.targets import (
    TargetOptions,
    all_linear,
    listed,
    no_transposed,
    option,
    per_layer,
    target_problems,
)


class LokrOptions(TargetOptions):
    """`[tune]` with `method = "lokr"`."""

    method: Literal["lokr"]
    """Train adapters which are Kronecker products: fewer numbers than LoRA's at a higher rank."""

    rank: Annotated[int, Field(ge=1, le=1024)] = 8
    """Rank of the larger factor; one that is small enough is trained whole."""

    alpha: Annotated[int, Field(gt=0)] | None = None
    """Scale of the adapters' output is alpha / rank; the rank unless given."""

    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability with which a layer's adapter is left out of a training step."""


def lower(options: LokrOptions, _: Modules | None) -> TuneStep:
    """The arguments of PEFT's `LoKrConfig`."""
    return TuneStep(
        method="lokr",
        peft={
            "type": "LoKrConfig",
            "task_type": "CAUSAL_LM",
            "r": options.rank,
            "alpha": options.alpha or options.rank,
            "module_dropout": options.dropout,
            "target_modules": listed(options.targets),
        },
    )


def split(size: int) -> tuple[int, int]:
    """Two factors of a size, nearest to each other, the smaller first (PEFT's `factorization`)."""
    small = max(n for n in range(1, int(size**0.5) + 1) if size % n == 0)
    return small, size // small


def numbers(step: TuneStep, layer: Module) -> int:
    """A layer's first factor whole, and its second whole or as a product of rank `r`."""
    rank = option(step, "r")
    (out_small, out_large), (in_small, in_large) = split(layer.outputs), split(layer.inputs)
    second = rank * (out_large + in_large)
    if rank >= max(out_large, in_large) / 2:
        second = out_large * in_large
    return out_small * in_small + second


def problems(options: LokrOptions, modules: Modules) -> tuple[Problem, ...]:
    """Layer names that do not fit, and model types that PEFT has no LoKr for."""
    return (*target_problems(options, modules), *no_transposed("LoKr", modules))


METHOD = Method(
    name="lokr",
    title="LoKr",
    options=LokrOptions,
    lower=lower,
    count=per_layer(numbers),
    learning_rate=1e-3,
    learning_rate_reason="one small factor scales the whole adapter, and begins at zero",
    defaults=all_linear,
    problems=problems,
)
