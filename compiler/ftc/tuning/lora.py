"""LoRA: low-rank adapters beside frozen weights (Hu et al., 2021)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, Strict

from ftc.plan.steps import TuneStep
from ftc.tuning.base import Method, Options


class LoraOptions(Options):
    """`[tune]` with `method = "lora"`, the default."""

    method: Literal["lora"] = "lora"
    """Train low-rank adapters; the base stays as it is."""

    rank: Annotated[int, Field(ge=1, le=4096)] = 16
    """Rank of each adapter."""

    alpha: Annotated[float, Field(gt=0)] | None = None
    """Scale of the adapters' output is alpha / rank; twice the rank unless given."""

    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability with which an adapter's input is dropped in training."""

    targets: Literal["all-linear"] | Annotated[tuple[str, ...], Strict(strict=False), Field(min_length=1)] = (
        "all-linear"
    )
    """The layers that get an adapter: `all-linear`, or the ends of module names."""


def lower(options: LoraOptions) -> TuneStep:
    """The arguments of PEFT's `LoraConfig`."""
    alpha = 2.0 * options.rank if options.alpha is None else options.alpha
    targets: JsonValue = options.targets if isinstance(options.targets, str) else list(options.targets)
    return TuneStep(
        method="lora",
        peft={
            "type": "LoraConfig",
            "task_type": "CAUSAL_LM",
            "r": options.rank,
            "lora_alpha": alpha,
            "lora_dropout": options.dropout,
            "target_modules": targets,
            "bias": "none",
        },
    )


METHOD = Method(
    name="lora",
    title="LoRA",
    options=LoraOptions,
    lower=lower,
    learning_rate=2e-4,
    learning_rate_reason="about ten times that of full fine-tuning, as usual for adapters",
)
