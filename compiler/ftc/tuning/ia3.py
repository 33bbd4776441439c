"""IA3: trained scales of keys, values and the MLP's activations (Liu et al., 2022)."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from ftc.plan.steps import TuneStep
from ftc.tuning.base import Defaulted, Method, Options, Problem
from ftc.tuning.modules import Modules, ends_with
from ftc.tuning.targets import Names, target_problems, targeted

DOWN = ("down_proj", "c_proj", "fc2", "dense_4h_to_h", "w2", "wo")
"""Names of layers that end an MLP, where the model's modules are not known."""


class Ia3Options(Options):
    """`[tune]` with `method = "ia3"`."""

    method: Literal["ia3"]
    """Train one scale for each key, value and activation of the MLP: very few numbers."""

    targets: Names | None = None
    """Ends of module names; those of keys, values and of the MLP's last layer unless given."""


def lower(options: Ia3Options, modules: Modules | None) -> TuneStep:
    """The arguments of PEFT's `IA3Config`; where the modules are not known, PEFT has its own defaults.

    A layer that ends an MLP has its inputs scaled, any other its outputs.
    """
    names = options.targets or (modules.by_role("k", "v", "qkv", "down") if modules else None)
    ends = modules.by_role("down") if modules else DOWN
    peft: dict[str, JsonValue] = {"type": "IA3Config", "task_type": "CAUSAL_LM"}
    if names is not None:
        peft["target_modules"] = list(names)
        peft["feedforward_modules"] = [name for name in names if any(ends_with(name, end) for end in ends)]
    return TuneStep(method="ia3", peft=peft)


def count(step: TuneStep, modules: Modules) -> int:
    """A scale for each input or output of the layers."""
    ends = (step.peft or {}).get("feedforward_modules")
    inputs = {module.name for module in modules.targeted(ends)}
    return sum(m.inputs if m.name in inputs else m.outputs for m in targeted(step, modules))


def defaults(options: Ia3Options, step: TuneStep) -> tuple[Defaulted, ...]:
    """The layers, where the recipe names none."""
    if options.targets is not None:
        return ()
    named = (step.peft or {}).get("target_modules", "PEFT's own")
    return (Defaulted("targets", named, "keys, values and the MLP's last layer, as in the IA3 paper"),)


def problems(options: Ia3Options, modules: Modules) -> tuple[Problem, ...]:
    """Layer names that do not fit."""
    return target_problems(options, modules) if options.targets else ()


METHOD = Method(
    name="ia3",
    title="IA3",
    options=Ia3Options,
    lower=lower,
    count=count,
    learning_rate=3e-3,
    learning_rate_reason="that of the IA3 paper: few scales, which begin at one",
    defaults=defaults,
    problems=problems,
)
