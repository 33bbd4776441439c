"""Training the norms alone (Zhao et al., 2023)."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from ftc.plan.steps import TuneStep
from ftc.tuning.base import Method, Options
from ftc.tuning.modules import Modules


class LnOptions(Options):
    """`[tune]` with `method = "ln"`."""

    method: Literal["ln"]
    """Train the norms' weights, saved as an adapter; everything else stays."""


def lower(_: LnOptions, modules: Modules | None) -> TuneStep:
    """The arguments of PEFT's `LNTuningConfig`; PEFT's own where the modules are not known."""
    norms = {m.name.rpartition(".")[2]: None for m in modules.all if m.kind == "norm"} if modules else {}
    more: dict[str, JsonValue] = {"target_modules": list(norms)} if norms else {}
    return TuneStep(method="ln", peft={"type": "LNTuningConfig", "task_type": "CAUSAL_LM", **more})


METHOD = Method(
    name="ln",
    title="training of the norms",
    options=LnOptions,
    lower=lower,
    count=lambda _, modules: sum(module.numel for module in modules.all if module.kind == "norm"),
    learning_rate=1e-3,
    learning_rate_reason="few weights near one, which need larger steps than the matrices",
)
