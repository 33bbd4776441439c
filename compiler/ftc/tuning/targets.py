"""Adapters that stand on named layers: the `targets` option, what it takes, and what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, JsonValue, Strict

from ftc.recipe.base import Text
from ftc.tuning.base import Defaulted, Options, Problem
from ftc.tuning.modules import ALL_LINEAR, Kind, Module, Modules, ends_with

if TYPE_CHECKING:
    from ftc.plan.steps import TuneStep

Names = Annotated[tuple[Text, ...], Strict(strict=False), Field(min_length=1)]
Targets = Literal["all-linear"] | Names


class TargetOptions(Options):
    """`[tune]` of a method whose adapters stand on linear layers."""

    targets: Targets = "all-linear"
    """The layers that get an adapter: `all-linear`, or the ends of module names."""


def listed(targets: str | Iterable[str]) -> JsonValue:
    """Targets as PEFT takes them: `all-linear`, or a list of names."""
    return targets if isinstance(targets, str) else list(targets)


def targeted(step: TuneStep, modules: Modules) -> tuple[Module, ...]:
    """The layers that get an adapter."""
    return modules.targeted((step.peft or {}).get("target_modules"))


def option(step: TuneStep, name: str) -> int:
    """A whole number among PEFT's options."""
    value = (step.peft or {})[name]
    if not isinstance(value, int):
        raise TypeError(f"{name} is {value!r}")
    return value


def per_layer(count: Callable[[TuneStep, Module], int]) -> Callable[[TuneStep, Modules], int]:
    """How many numbers train, where each layer's adapter has as many as `count` says."""
    return lambda step, modules: sum(count(step, module) for module in targeted(step, modules))


def resolved(targets: str | Iterable[str], modules: Modules | None) -> JsonValue:
    """Targets for PEFT's LoRA, by name where it would put `all-linear` on stacked experts too."""
    if targets != ALL_LINEAR or modules is None or not modules.stacked:
        return listed(targets)
    return listed(sorted({module.name.rpartition(".")[2] for module in modules.targeted(ALL_LINEAR)}))


def all_linear(options: Any, step: TuneStep) -> tuple[Defaulted, ...]:
    """The choice of every linear layer where the recipe names none."""
    taken = (step.peft or {}).get("target_modules")
    if options.targets == ALL_LINEAR != taken:
        reason = "every linear layer; the experts are stacked in weights of their own, and stay as they are"
        return (Defaulted("targets", taken, reason),)
    if "targets" in options.model_fields_set:
        return ()
    reason = "every linear layer but the output head, as the QLoRA paper found best"
    return (Defaulted("targets", ALL_LINEAR, reason),)


def unknown_names(key: str, names: Iterable[str], modules: Modules) -> Iterable[Problem]:
    """Names that end no module's name, with the one that may be meant."""
    for index, name in enumerate(names):
        if not any(ends_with(module.name, name) for module in modules.all):
            message = f"no layer of the model is named `{name}`"
            yield Problem("FTC505", (key, index), message, unknown=name)


def target_problems(options: Any, modules: Modules) -> tuple[Problem, ...]:
    """Targets that are no layers of the model, or none that an adapter can stand on."""
    targets = options.targets
    if isinstance(targets, str):
        return ()
    found = list(unknown_names("targets", targets, modules))
    for index, name in enumerate(targets):
        kinds = {module.kind for module in modules.targeted((name,))}
        if kinds and "linear" not in kinds:
            found.append(Problem("FTC543", ("targets", index), *_not_linear(name, kinds)))
    return tuple(found)


def _not_linear(name: str, kinds: set[Kind]) -> tuple[str, tuple[str, ...]]:
    if "head" in kinds:
        why = "TRL computes the loss from the output head's own weight, so it would never train"
        whole = f'train it whole, beside LoRA\'s adapters: modules_to_save = ["{name}"]'
        return f"`{name}` cannot have an adapter: {why}", (whole,)
    what = {"norm": "a norm", "embedding": "an embedding", "other": "no linear layer"}[min(kinds)]
    more = 'method = "ln" trains the norms' if "norm" in kinds else f'modules_to_save = ["{name}"] of LoRA'
    return f"`{name}` cannot have an adapter: it is {what}", (f"name a linear layer; {more}",)


def no_transposed(title: str, modules: Modules) -> tuple[Problem, ...]:
    """A problem where PEFT has no adapter of a method for a model's linear layers."""
    if not modules.transposed:
        return ()
    message = f"PEFT has no {title} for this model type, whose linear layers are Conv1D"
    return (Problem("FTC543", ("method",), message, ('write method = "lora"',)),)


def divides(key: str, size: int, modules: tuple[Module, ...], what: str) -> tuple[Problem, ...]:
    """A problem where blocks of `size` do not fill a layer's inputs."""
    odd = next((module for module in modules if module.inputs % size), None)
    if odd is None:
        return ()
    fitting = [n for n in range(1, 257) if all(m.inputs % n == 0 for m in modules)]
    near = min(fitting, key=lambda n: (abs(n - size), n))
    message = f"{what} of {size} do not fill `{odd.name}`, which has {odd.inputs} inputs"
    return (Problem("FTC543", (key,), message, (f"write {key} = {near}",)),)
