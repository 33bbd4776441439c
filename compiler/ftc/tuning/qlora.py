"""QLoRA: LoRA beside frozen weights in few bits (Dettmers et al., 2023)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ftc.tuning.base import Defaulted, Method, Problem
from ftc.tuning.lora import INITS, LowRankOptions, count, low_rank, low_rank_problems, picked
from ftc.tuning.modules import Modules

if TYPE_CHECKING:
    from ftc.plan.steps import TuneStep


class QloraOptions(LowRankOptions):
    """`[tune]` with `method = "qlora"`."""

    method: Literal["qlora"]
    """Train low-rank adapters beside a base whose linear layers are stored in few bits."""

    quantise: Literal["nf4", "fp4", "int8"] = "nf4"
    """How the frozen weights are stored: 4 bits in blocks of 64 (NF4, FP4), or 8 bits."""

    double_quantise: bool | None = None
    """Quantise the blocks' scales too, which saves 0.4 bits a weight; on for 4 bits unless given."""

    init: Literal["default", "gaussian", "loftq"] = "default"
    """What the adapters begin as: nothing, or (LoftQ) what storing the base in few bits loses."""


def lower(options: QloraOptions, modules: Modules | None) -> TuneStep:
    """The arguments of PEFT's `LoraConfig`, and how the base is stored."""
    from ftc.plan.steps import QuantiseStep, TuneStep

    peft = low_rank(options, modules)
    if options.init == "gaussian":
        peft["init_lora_weights"] = INITS["gaussian"]
    double = options.quantise != "int8" and options.double_quantise is not False
    return TuneStep(
        method="qlora",
        peft=peft,
        quantise=QuantiseStep(kind=options.quantise, double=double, residual=options.init == "loftq"),
    )


def problems(options: QloraOptions, modules: Modules) -> tuple[Problem, ...]:
    """LoRA's, and LoftQ where the base is not in blocks of four bits."""
    found = low_rank_problems(options, modules)
    if options.init != "loftq" or options.quantise != "int8":
        return found
    message = "LoftQ is for a base in four bits, and not for int8"
    return (*found, Problem("FTC543", ("init",), message, ('write quantise = "nf4"',)))


def defaults(options: QloraOptions, step: TuneStep) -> tuple[Defaulted, ...]:
    """LoRA's, and how the weights are stored."""
    found = [*picked(options, step)]
    if "quantise" not in options.model_fields_set:
        reason = "made for weights that are spread normally; loses less than FP4 at the same size"
        found.append(Defaulted("quantise", options.quantise, reason))
    if options.double_quantise is None and step.quantise is not None and step.quantise.double:
        found.append(Defaulted("double_quantise", True, "0.4 bits a weight less, at no measured loss"))
    return tuple(found)


METHOD = Method(
    name="qlora",
    adds_tokens=True,
    title="QLoRA",
    options=QloraOptions,
    lower=lower,
    count=count,
    learning_rate=2e-4,
    learning_rate_reason="that of the QLoRA paper for models up to 13B",
    defaults=defaults,
    problems=problems,
    quantises=True,
)
