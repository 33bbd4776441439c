"""The conditions of [budget]: a plan that exceeds one fails."""

from __future__ import annotations

from collections.abc import Iterator

from ftc.diagnostics import Finding, Severity, Span
from ftc.estimate.forecast import Budget, Forecast
from ftc.recipe.load import Origins
from ftc.recipe.model import Recipe


def budget_findings(own: Forecast, recipe: Recipe, origins: Origins) -> tuple[Finding, ...]:
    """What of [budget] the build exceeds by its likely figures, or cannot be compared with."""
    budget = Budget(recipe.budget.max_cost, recipe.budget.max_hours)
    return (*_exceeded(own, budget, origins), *_incomparable(own, budget, origins))


def _exceeded(own: Forecast, budget: Budget, origins: Origins) -> Iterator[Finding]:
    helps = ("train fewer steps, on another GPU (`ftc plan --gpu all` lists them), or raise the budget",)
    for key in budget.exceeded(own):
        told = _cost(own, budget) if key == "max_cost" else _hours(own, budget)
        yield Finding("FTC890", told, origins.value("budget", key), help=helps)


def _cost(own: Forecast, budget: Budget) -> str:
    assert own.cost is not None  # noqa: S101 - it is exceeded
    low, likely, high = (f"${value:.2f}" for value in (own.cost.low, own.cost.likely, own.cost.high))
    said = f"the build is likely to cost {likely} ({low} to {high}) on {own.device}"
    return f"{said}, and the budget is ${budget.max_cost:g}"


def _hours(own: Forecast, budget: Budget) -> str:
    assert own.hours is not None  # noqa: S101 - it is exceeded
    low, likely, high = (f"{value:.3g}" for value in (own.hours.low, own.hours.likely, own.hours.high))
    said = f"the build is likely to take {likely} hours ({low} to {high}) on {own.device}"
    return f"{said}, and the budget is {budget.max_hours:g}"


def _incomparable(own: Forecast, budget: Budget, origins: Origins) -> Iterator[Finding]:
    unknown = "; ".join(own.unknown)
    if budget.max_cost is not None and own.cost is None:
        why = unknown or ("it has no price" if own.price is None else "its time is not known")
        said = f"what the build costs on {own.device} is not known: {why}"
        help_ = f'state a price: [hardware] prices."{own.device}" = 1.50, in US dollars an hour'
        if own.here:
            help_ = 'name the GPU that will be rented: [hardware] gpu = "L4"'
        yield _unknown(said, origins.value("budget", "max_cost"), help_)
    if budget.max_hours is not None and own.hours is None:
        said = f"how long the build takes on {own.device} is not known: {unknown or 'it was not measured'}"
        yield _unknown(said, origins.value("budget", "max_hours"), "`ftc calibrate` measures this machine")


def _unknown(message: str, span: Span | None, help_: str) -> Finding:
    return Finding("FTC891", message, span, help=(help_,), severity=Severity.WARNING)
