"""The optimizer of a plan: the trainer's name of it, and what keeps it from running."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import JsonValue

from ftc import tuning
from ftc.diagnostics import Finding
from ftc.plan.context import Context
from ftc.plan.steps import Plan
from ftc.recipe.suggest import listed
from ftc.recipe.training import Train
from ftc.tuning.optimizers import OPTIMIZERS


def arguments(train: Train) -> dict[str, JsonValue]:
    """The config's fields; one that projects gradients does so for every linear layer."""
    how = OPTIMIZERS[train.optimizer]
    projected: dict[str, JsonValue] = {"optim_target_modules": "all-linear"} if how.projected else {}
    return {"optim": how.optim, **projected}


def findings(plan: Plan, context: Context) -> tuple[Finding, ...]:
    """What is not installed, does not run on the device, or cannot project the gradients of adapters."""
    return tuple(_findings(plan, context))


def _findings(plan: Plan, context: Context) -> Iterator[Finding]:
    assert plan.environment is not None  # noqa: S101 - the order of the passes
    name = context.recipe.train.optimizer
    how, device = OPTIMIZERS[name], plan.environment.device
    span = context.origins.value("train", "optimizer")
    if device not in how.devices:
        message = f"the optimizer {name} does not run on {device}"
        others = [other for other, one in OPTIMIZERS.items() if device in one.devices and not one.projected]
        yield Finding("FTC544", message, span, help=(f"write one of {listed(others)}",))
    elif how.package and how.package not in context.facts.packages:
        message = f"the optimizer {name} needs {how.package}, which is not installed"
        yield Finding(
            "FTC544", message, span, help=(f"pip install {how.package}", 'or write optimizer = "adamw"')
        )
    if how.projected and tuning.load(context.recipe.tune.method).adapter:
        message = f"{name} projects the gradients of whole matrices, and adapters have none"
        helps = ('write method = "full" or "freeze" under [tune]', 'or write optimizer = "adamw"')
        yield Finding("FTC544", message, span, help=helps)
