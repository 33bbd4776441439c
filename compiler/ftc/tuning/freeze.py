"""Training some of the model's own weights, and freezing the others."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict

from ftc.plan.steps import TuneStep, UnfrozenStep
from ftc.recipe.base import Text
from ftc.tuning.base import Method, Options, Problem
from ftc.tuning.modules import Module, Modules, fits, numel


class FreezeOptions(Options):
    """`[tune]` with `method = "freeze"`."""

    method: Literal["freeze"]
    """Train the weights that are named here; all others stay as they are."""

    first_layers: Annotated[int, Field(ge=0)] = 0
    """Decoder layers from the first that train."""

    last_layers: Annotated[int, Field(ge=0)] = 0
    """Decoder layers to the last that train."""

    embeddings: bool = False
    """Whether the embeddings train; with a tied output head that trains too, as it is the same weight."""

    norms: bool = False
    """Whether all norms train."""

    head: bool = False
    """Whether the output head trains."""

    modules: Annotated[tuple[Text, ...], Strict(strict=False)] = ()
    """Names of modules or blocks that train, `*` for anything: `mlp`, `layers.3`, `layers.*.self_attn`."""


def lower(options: FreezeOptions, _: Modules | None) -> TuneStep:
    """Which of the base's weights train."""
    unfrozen = UnfrozenStep(
        first=options.first_layers,
        last=options.last_layers,
        embeddings=options.embeddings,
        norms=options.norms,
        head=options.head,
        modules=options.modules,
    )
    return TuneStep(method="freeze", peft=None, unfrozen=unfrozen)


def trains(module: Module, how: UnfrozenStep, modules: Modules) -> bool:
    """Whether a module trains."""
    layer = module.layer
    return (
        (layer is not None and (layer < how.first or layer >= modules.layers - how.last))
        or (how.embeddings and module.kind == "embedding")
        or (how.norms and module.kind == "norm")
        or (how.head and module.kind == "head")
        or any(fits(module.name, pattern) for pattern in how.modules)
    )


def count(step: TuneStep, modules: Modules) -> int:
    """The numbers of the modules that train."""
    how = step.unfrozen or UnfrozenStep()
    return numel((module for module in modules.all if trains(module, how, modules)), modules)


def problems(options: FreezeOptions, modules: Modules) -> tuple[Problem, ...]:
    """Patterns that name nothing, more layers than there are, and nothing to train at all."""
    found = []
    for index, pattern in enumerate(options.modules):
        if not any(fits(module.name, pattern) for module in modules.all):
            message = f"no module of the model is named `{pattern}`"
            found.append(Problem("FTC505", ("modules", index), message, unknown=pattern.rpartition(".")[2]))
    for key in ("first_layers", "last_layers"):
        if getattr(options, key) > modules.layers:
            message = f"the model has {modules.layers} decoder layers, fewer than {getattr(options, key)}"
            found.append(Problem("FTC543", (key,), message, (f"write {key} = {modules.layers} or fewer",)))
    if not found and not count(lower(options, modules), modules):
        helps = ('write last_layers = 2, norms = true, head = true or modules = ["mlp"] under [tune]',)
        found.append(Problem("FTC540", ("method",), "every weight is frozen, so nothing would train", helps))
    return tuple(found)


METHOD = Method(
    name="freeze",
    title="training of some layers",
    options=FreezeOptions,
    lower=lower,
    count=count,
    learning_rate=2e-5,
    learning_rate_reason="that of full fine-tuning: the model's own weights train",
    problems=problems,
    adapter=False,
)
