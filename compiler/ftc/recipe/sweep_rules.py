"""What may stand in [sweep] beside each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ftc.diagnostics import Finding
from ftc.recipe.layers import Key
from ftc.recipe.settings import Settings
from ftc.recipe.sweep import BOUNDS
from ftc.recipe.variants import KEYS, parsed_key

FIXED = ("name", "extends", "sweep")
"""What all variants of a recipe share."""


def _tried(settings: Settings) -> Iterator[tuple[str, Key, Any]]:
    """Every key of the sweep with its place and what is tried."""
    keys = settings.get(*KEYS)
    for key, value in keys.items() if isinstance(keys, dict) else ():
        yield key, (*KEYS, key), value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def keys_of_the_recipe(settings: Settings) -> Iterator[Finding]:
    """What is tried are settings, and not what makes the variants those of one recipe."""
    for key, path, _ in _tried(settings):
        parts = parsed_key(key)
        span = settings.origins.key(*path)
        if parts is None:
            message = f"`{key}` is not a key of a recipe"
            help_line = 'keys are names joined by dots, in quotes: keys."train.learning_rate" = [1e-4, 3e-4]'
            yield Finding("FTC740", message, span, help=(help_line,))
        elif parts[0] in FIXED:
            message = f"`{parts[0]}` is the same for all variants of a sweep"
            yield Finding("FTC740", message, span, help=(f"remove `{key}` from [sweep]",))


def bounds(settings: Settings) -> Iterator[Finding]:
    """A range goes from less to more, and one of logarithms has only positive numbers."""
    for _, path, value in _tried(settings):
        if not isinstance(value, dict) or not all(_is_number(value.get(bound)) for bound in BOUNDS):
            continue
        low, high = value["low"], value["high"]
        if low >= high:
            message = f"`low` is {low:g}, which is not below `high` ({high:g})"
            yield Finding("FTC741", message, settings.origins.value(*path, "low"), help=("exchange them",))
        elif value.get("log") is True and low <= 0:
            message = f"`low` is {low:g}, which has no logarithm"
            help_line = "write a positive number, or remove `log`"
            yield Finding("FTC741", message, settings.origins.value(*path, "low"), help=(help_line,))


def ranges_of_a_grid(settings: Settings) -> Iterator[Finding]:
    """A grid is made of values."""
    if settings.get("sweep", "method") not in (None, "grid"):
        return
    for _, path, value in _tried(settings):
        if isinstance(value, dict) and set(BOUNDS) <= value.keys() and "steps" not in value:
            message = "a grid tries values, and this is a range"
            helps = ("say how many values of it are tried: steps = 4", 'or write method = "random"')
            yield Finding("FTC741", message, settings.origins.value(*path), help=helps)


def trials_of_a_grid(settings: Settings) -> Iterator[Finding]:
    """A grid has as many variants as it has."""
    if settings.has("sweep", "trials") and settings.get("sweep", "method") in (None, "grid"):
        message = "`sweep.trials` has no effect: a grid tries every combination"
        yield settings.wrong(message, ("sweep", "trials"), 'remove `trials`, or write method = "random"')


def samplers_of_numbers(settings: Settings) -> Iterator[Finding]:
    """CMA-ES moves through numbers."""
    if settings.get("sweep", "method") != "cmaes":
        return
    for key, path, value in _tried(settings):
        if isinstance(value, list):
            message = f'"cmaes" searches ranges of numbers, and `{key}` is a list of values'
            helps = ("write a range: { low = …, high = … }", 'or write method = "tpe"')
            yield Finding("FTC741", message, settings.origins.value(*path), help=helps)


RULES = (keys_of_the_recipe, bounds, ranges_of_a_grid, trials_of_a_grid, samplers_of_numbers)
