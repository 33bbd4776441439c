"""AdaLoRA: LoRA whose ranks move to the layers that need them while it trains (Zhang et al., 2023)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ftc.plan.steps import TuneStep
from ftc.tuning.base import Defaulted, Method, Problem
from ftc.tuning.modules import Modules
from ftc.tuning.targets import TargetOptions, all_linear, listed, option, per_layer, target_problems

WARMUP, LAST = 10, 3
"""The ranks begin to fall after a tenth of the steps, and hold still over the last third."""


class AdaloraOptions(TargetOptions):
    """`[tune]` with `method = "adalora"`."""

    method: Literal["adalora"]
    """Train adapters whose ranks fall, layer by layer, to those that matter."""

    rank: Annotated[int, Field(ge=1, le=1024)] = 8
    """Mean rank of the layers at the end."""

    first_rank: Annotated[int, Field(ge=1, le=2048)] | None = None
    """Rank of each layer at the beginning; one and a half of `rank` unless given."""

    alpha: Annotated[int, Field(gt=0)] | None = None
    """Scale of the adapters' output is alpha / rank; four times the rank unless given."""

    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability with which an adapter's input is dropped in training."""


def _first(options: AdaloraOptions) -> int:
    return options.first_rank or -(-options.rank * 3 // 2)


def lower(options: AdaloraOptions, _: Modules | None) -> TuneStep:
    """The arguments of PEFT's `AdaLoraConfig`; `scheduled` says when the ranks fall."""
    return TuneStep(
        method="adalora",
        peft={
            "type": "AdaLoraConfig",
            "task_type": "CAUSAL_LM",
            "target_r": options.rank,
            "init_r": _first(options),
            "lora_alpha": options.alpha or 4 * options.rank,
            "lora_dropout": options.dropout,
            "target_modules": listed(options.targets),
            "bias": "none",
            "total_step": 1,
        },
    )


def scheduled(step: TuneStep, steps: int) -> TuneStep:
    """The step with the optimizer steps at which the ranks begin and cease to fall."""
    when = {"total_step": steps, "tinit": steps // WARMUP, "tfinal": steps // LAST, "deltaT": 1}
    return step.model_copy(update={"peft": {**(step.peft or {}), **when}})


def defaults(options: AdaloraOptions, step: TuneStep) -> tuple[Defaulted, ...]:
    """The layers, and the rank to begin with."""
    first = Defaulted("first_rank", option(step, "init_r"), "one and a half of the rank, as in the paper")
    return (*(() if options.first_rank else (first,)), *all_linear(options, step))


def problems(options: Any, modules: Modules) -> tuple[Problem, ...]:
    """Layer names that do not fit, and ranks that could not fall."""
    found = target_problems(options, modules)
    if _first(options) >= options.rank:
        return found
    message = f"first_rank = {options.first_rank} is below rank = {options.rank}: ranks only fall"
    helps = (f"write first_rank = {options.rank * 3 // 2}",)
    return (*found, Problem("FTC543", ("first_rank",), message, helps))


METHOD = Method(
    name="adalora",
    title="AdaLoRA",
    options=AdaloraOptions,
    lower=lower,
    count=per_layer(lambda step, layer: option(step, "init_r") * (layer.inputs + layer.outputs + 1) + 1),
    learning_rate=1e-3,
    learning_rate_reason="within the AdaLoRA paper's range of 5e-4 to 2e-3",
    defaults=defaults,
    problems=problems,
    scheduled=scheduled,
)
