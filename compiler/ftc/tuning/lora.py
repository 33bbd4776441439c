"""LoRA: low-rank adapters beside frozen weights (Hu et al., 2021)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, JsonValue

from ftc.tuning.base import Defaulted, Method, Problem
from ftc.tuning.modules import TOKENS, Module, Modules, numel
from ftc.tuning.targets import (
    Names,
    TargetOptions,
    all_linear,
    listed,
    option,
    resolved,
    target_problems,
    targeted,
    unknown_names,
)

if TYPE_CHECKING:
    from ftc.plan.steps import TuneStep

INITS: dict[str, bool | str] = {
    "default": True,
    "gaussian": "gaussian",
    "orthogonal": "orthogonal",
    "olora": "olora",
    "pissa": "pissa",
    "pissa_fast": "pissa_niter_16",
    "mica": "mica",
    "eva": "eva",
    "corda": "corda",
}
"""Initialisations by the recipe's word, as PEFT's `init_lora_weights` names them."""

READS_ROWS: dict[str, dict[str, JsonValue]] = {
    "eva": {"eva_config": {"rho": 1.0}},
    "corda": {"corda_config": {"corda_method": "ipm"}},
}
"""Those that look at training rows, and their options: EVA keeps the rank of every layer."""

INIT_ROWS = 256

CHANGES_BASE = ("olora", "pissa", "pissa_fast", "corda")
"""Those that take a part of the base's weights into the adapter."""

DECOMPOSES = ("olora", "pissa", "pissa_fast", "mica", "eva", "corda")
"""Those that decompose each layer's weight, so that the rank is at most its smaller side."""


class LowRankOptions(TargetOptions):
    """Options that LoRA and QLoRA share."""

    rank: Annotated[int, Field(ge=1, le=4096)] = 16
    """Rank of each adapter."""

    alpha: Annotated[float, Field(gt=0)] | None = None
    """Scale of the adapters' output is alpha / rank; twice the rank unless given."""

    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability with which an adapter's input is dropped in training."""

    rslora: bool = False
    """Scale by alpha / sqrt(rank), which keeps high ranks from learning slower (rsLoRA)."""

    dora: bool = False
    """Train each layer's magnitude apart from its direction (DoRA): better at low ranks, slower."""

    modules_to_save: Names | None = None
    """Modules that train whole beside the adapters and are saved with them, such as `lm_head`."""


class LoraOptions(LowRankOptions):
    """`[tune]` with `method = "lora"`, the default."""

    method: Literal["lora"] = "lora"
    """Train low-rank adapters; the base stays as it is."""

    init: Literal[
        "default", "gaussian", "orthogonal", "olora", "pissa", "pissa_fast", "mica", "eva", "corda"
    ] = "default"
    """What the adapters begin as: nothing, a part of the base's own weights, or what training rows show."""

    init_rows: Annotated[int, Field(ge=1)] | None = None
    """Training rows that `eva` and `corda` look at; 256 unless given."""


def low_rank(options: LowRankOptions, modules: Modules | None) -> dict[str, JsonValue]:
    """The arguments of PEFT's `LoraConfig`; those at their defaults are left to it."""
    more: dict[str, JsonValue] = {}
    if options.rslora:
        more["use_rslora"] = True
    if options.dora:
        more["use_dora"] = True
    if options.modules_to_save:
        more["modules_to_save"] = list(options.modules_to_save)
        if modules is not None and modules.tied and any(_end(m) for m in _saved(options, modules)):
            more["ensure_weight_tying"] = True
    return {
        "type": "LoraConfig",
        "task_type": "CAUSAL_LM",
        "r": options.rank,
        "lora_alpha": 2.0 * options.rank if options.alpha is None else options.alpha,
        "lora_dropout": options.dropout,
        "target_modules": resolved(options.targets, modules),
        "bias": "none",
        **more,
    }


def _saved(options: LowRankOptions, modules: Modules) -> tuple[Module, ...]:
    return modules.targeted(options.modules_to_save)


def _end(module: Module) -> bool:
    return module.kind in ("embedding", "head")


def lower(options: LoraOptions, modules: Modules | None) -> TuneStep:
    """The arguments of PEFT's `LoraConfig`, and whether the adapter is converted when it is saved."""
    from ftc.plan.steps import TuneStep

    peft = low_rank(options, modules)
    if options.init != "default":
        peft["init_lora_weights"] = INITS[options.init]
    rows = None
    if options.init in READS_ROWS:
        peft |= READS_ROWS[options.init]
        rows = options.init_rows or INIT_ROWS
    return TuneStep(method="lora", peft=peft, converted=options.init in CHANGES_BASE, init_rows=rows)


def count(step: TuneStep, modules: Modules) -> int:
    """Both factors of each adapter, DoRA's magnitudes, the modules that train whole, and new tokens' rows.

    MiCA trains one factor alone.
    """
    peft = step.peft or {}
    rank, one = option(step, "r"), peft.get("init_lora_weights") == "mica"
    magnitudes = bool(peft.get("use_dora"))
    adapters = sum(
        rank * (module.inputs + (0 if one else module.outputs)) + (module.outputs if magnitudes else 0)
        for module in targeted(step, modules)
    )
    rows: Any = peft.get(TOKENS) or {}
    new = sum(len(tokens) for tokens in rows.values()) * modules.hidden
    return adapters + new + numel(modules.targeted(peft.get("modules_to_save")), modules)


def picked(options: Any, step: TuneStep) -> tuple[Defaulted, ...]:
    """Rank, scale and layers where the recipe leaves them open."""
    found = []
    if "rank" not in options.model_fields_set:
        found.append(Defaulted("rank", option(step, "r"), "enough for most tasks of this size"))
    if options.alpha is None:
        alpha = (step.peft or {})["lora_alpha"]
        found.append(Defaulted("alpha", alpha, "twice the rank, a common setting"))
    if step.init_rows is not None and getattr(options, "init_rows", None) is None:
        found.append(
            Defaulted("init_rows", step.init_rows, "what CorDA's authors took; EVA settles on fewer")
        )
    return (*found, *all_linear(options, step))


def low_rank_problems(options: LowRankOptions, modules: Modules) -> tuple[Problem, ...]:
    """Layer names that do not fit, of the adapters and of what trains whole."""
    saved = unknown_names("modules_to_save", options.modules_to_save or (), modules)
    return (*target_problems(options, modules), *saved)


def problems(options: LoraOptions, modules: Modules) -> tuple[Problem, ...]:
    """Layer names that do not fit, and ranks that the initialisation cannot have."""
    return (*low_rank_problems(options, modules), *_ranks(options, modules))


def _ranks(options: LoraOptions, modules: Modules) -> Iterator[Problem]:
    if options.init == "orthogonal" and options.rank % 2:
        message = f"the orthogonal initialisation needs an even rank, not {options.rank}"
        yield Problem("FTC543", ("rank",), message, (f"write rank = {options.rank + 1}",))
    if options.init_rows is not None and options.init not in READS_ROWS:
        message = f"`init_rows` are for the initialisations that look at rows, and not for {options.init}"
        yield Problem("FTC543", ("init_rows",), message, ('remove it, or write init = "eva"',))
    if options.init not in DECOMPOSES:
        return
    sides = [(min(m.inputs, m.outputs), m.name) for m in modules.targeted(listed(options.targets))]
    least, name = min(sides, default=(options.rank, ""))
    if least < options.rank:
        message = f"{options.init} decomposes `{name}`, which has a rank of at most {least}"
        yield Problem("FTC543", ("rank",), message, (f"write rank = {least} or less",))
    if options.init in ("mica", "eva", "corda") and options.dora:
        message = f"PEFT has no {options.init} with DoRA"
        yield Problem("FTC543", ("dora",), message, ("remove `dora`, or take another `init`",))


METHOD = Method(
    name="lora",
    adds_tokens=True,
    title="LoRA",
    options=LoraOptions,
    lower=lower,
    count=count,
    learning_rate=2e-4,
    learning_rate_reason="about ten times that of full fine-tuning, as usual for adapters",
    defaults=picked,
    problems=problems,
)
