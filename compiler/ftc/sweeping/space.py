"""The variants of a sweep that are known before any is built: a grid's, random ones, ends of ranges."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from random import Random
from types import MappingProxyType
from typing import Any

from ftc.recipe.sweep import Sweep, SweepRange

Variant = Mapping[str, Any]
DIGITS = 4
"""Digits to which a number from a range is rounded, so that it can be read and typed."""
TRIALS = 16
"""How many variants are tried where the recipe does not say."""


def known_variants(sweep: Sweep) -> tuple[Variant, ...] | None:
    """All variants in their order, where they do not hang on each other's results; else None."""
    if sweep.method == "grid":
        return tuple(_combined(sweep, {key: grid_values(tried) for key, tried in sweep.keys.items()}))
    return tuple(_random(sweep)) if sweep.method == "random" else None


def extremes(sweep: Sweep) -> tuple[Variant, ...]:
    """Variants that show what a search can come to: each value of each key and the ends of its range.

    The others are at their first value or low end meanwhile, and at their last or high end.
    """
    ends = {key: _ends(tried) for key, tried in sweep.keys.items()}
    found = []
    for place in (0, -1):
        around = {key: values[place] for key, values in ends.items()}
        found += [MappingProxyType({**around, key: value}) for key in ends for value in ends[key]]
    return distinct(found)


def distinct(variants: Iterable[Variant]) -> tuple[Variant, ...]:
    """The variants without repetitions, in their order."""
    kept: list[Variant] = []
    for variant in variants:
        if all(dict(variant) != dict(other) for other in kept):
            kept.append(variant)
    return tuple(kept)


def grid_values(tried: Any) -> tuple[Any, ...]:
    """The values of a key that a grid tries."""
    if not isinstance(tried, SweepRange):
        return tuple(tried)
    steps = tried.steps or 2
    parts = [at(tried, index / (steps - 1)) for index in range(steps)]
    return tuple(dict.fromkeys(parts))


def _ends(tried: Any) -> tuple[Any, ...]:
    return (tried.low, tried.high) if isinstance(tried, SweepRange) else tuple(tried)


def at(tried: SweepRange, part: float) -> int | float:
    """The number at a part of a range, from 0 for its low end to 1 for its high end."""
    if part in (0.0, 1.0):
        return tried.high if part else tried.low
    if tried.log:
        value = math.exp(math.log(tried.low) + part * (math.log(tried.high) - math.log(tried.low)))
    else:
        value = tried.low + part * (tried.high - tried.low)
    return rounded(value, tried)


def rounded(value: float, tried: SweepRange) -> int | float:
    """A number of a range as it is tried: whole where the range is, else with a few digits."""
    if tried.whole:
        return min(max(round(value), int(tried.low)), int(tried.high))
    return float(f"{value:.{DIGITS}g}")


def _combined(sweep: Sweep, values: Mapping[str, tuple[Any, ...]]) -> Iterator[Variant]:
    for chosen in product(*values.values()):
        yield MappingProxyType(dict(zip(sweep.keys, chosen, strict=True)))


def _random(sweep: Sweep) -> tuple[Variant, ...]:
    """Variants by a seeded generator; fewer than asked for where there are no more."""
    random, wanted = Random(sweep.seed), sweep.trials or TRIALS  # noqa: S311 - repeatable, no secret
    found: tuple[Variant, ...] = ()
    for _ in range(wanted * 20):
        if len(found) == wanted:
            break
        drawn = {key: _drawn(tried, random) for key, tried in sweep.keys.items()}
        found = distinct([*found, MappingProxyType(drawn)])
    return found


def _drawn(tried: Any, random: Random) -> Any:
    part = random.random()
    if not isinstance(tried, SweepRange):
        return tried[int(part * len(tried))]
    if tried.whole and not tried.log:
        return int(tried.low) + int(part * (int(tried.high) - int(tried.low) + 1))
    return at(tried, part)
