"""`hardware.gpu = "auto"`: the cheapest GPU that a plan fits, within its budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ftc.diagnostics import Finding
from ftc.estimate.catalogue import devices
from ftc.estimate.forecast import Budget, Forecast, by_cost, cheapest
from ftc.facts.cache import Cache
from ftc.forecasting.forecaster import Forecaster
from ftc.plan.compiling import DataCompiler
from ftc.plan.context import Context
from ftc.plan.steps import Choice, Plan
from ftc.recipe.load import Origins


@dataclass(frozen=True)
class ChosenGpu:
    """The context that asks for the GPU, and why it does; or the finding that none will do."""

    context: Context
    choices: tuple[Choice, ...] = ()
    findings: tuple[Finding, ...] = ()


def choose_gpu(plan: Plan, context: Context, compiler: DataCompiler, cache: Cache) -> ChosenGpu:
    """The cheapest GPU on which the plan fits, and its budget too; `plan` has its compiled rows."""
    recipe = context.recipe
    budget = Budget(recipe.budget.max_cost, recipe.budget.max_hours)
    found = Forecaster(plan, context, compiler, cache).on(list(devices().values()))
    chosen = cheapest(found, budget)
    if chosen is None:
        return ChosenGpu(context, findings=(_none_fits(found, context.origins),))
    hardware = recipe.hardware.model_copy(update={"gpu": chosen.device})
    asked = replace(context, recipe=recipe.model_copy(update={"hardware": hardware}))
    choice = Choice(key="hardware.gpu", value=chosen.device, reason=_why(chosen, found, budget))
    return ChosenGpu(asked, (choice,))


def _why(chosen: Forecast, found: Sequence[Forecast], budget: Budget) -> str:
    assert chosen.cost is not None  # noqa: S101 - it was chosen by its cost
    within = " and the budget allows" if budget != Budget() else ""
    others = [one for one in by_cost(found) if one is not chosen and not budget.exceeded(one)]
    after = f"; next {others[0].device}, ${others[0].cost.likely:.2f}" if others and others[0].cost else ""
    return f"the cheapest that fits{within}, likely ${chosen.cost.likely:.2f}{after}"


def _none_fits(found: Sequence[Forecast], origins: Origins) -> Finding:
    fitting = by_cost(found)
    notes: tuple[str, ...]
    if fitting:
        message = f"{len(fitting)} GPUs of the catalogue fit the model, and none the budget"
        nearest = fitting[0]
        quickest = min(fitting, key=lambda one: one.hours.likely if one.hours else 0.0)
        notes = tuple(f"{what}: {_told(one)}" for what, one in (("cheapest", nearest), ("fastest", quickest)))
        helps = ("raise the budget, or train fewer steps",)
    else:
        message = "no GPU of the catalogue is known to fit the model, and to have a price"
        notes = tuple(dict.fromkeys(why for one in found for why in one.unknown))[:3]
        helps = ('name one with its price: [hardware] gpu = "NAME", prices."NAME" = 1.50',)
    return Finding("FTC892", message, origins.value("hardware", "gpu"), help=helps, notes=notes)


def _told(one: Forecast) -> str:
    cost = f"${one.cost.likely:.2f}" if one.cost else "?"
    hours = f"{one.hours.likely:.3g} h" if one.hours else "?"
    return f"{one.device}, likely {cost} and {hours}"
