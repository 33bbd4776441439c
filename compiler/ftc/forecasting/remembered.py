"""Forecasts that were made before: the same plan on the same devices at the same prices takes the same."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.estimate.catalogue import CATALOGUE
from ftc.estimate.forecast import Forecast
from ftc.estimate.own_prices import shared_prices
from ftc.estimate.speeds import SPEEDS
from ftc.facts.cache import Cache, cache_key, code_digest
from ftc.launch.calibration import directory, machine
from ftc.plan.canonical import digest

if TYPE_CHECKING:
    from ftc.plan.context import Context
    from ftc.plan.steps import Plan

CODE = (
    "data/kept/batch_lengths.py",
    "estimate",
    "facts/isolation.py",
    "forecasting",
    "launch/calibration.py",
    "plan",
    "tuning",
)
KIND = "forecast"
Made = Callable[[], tuple[Forecast, ...]]


def forecast_key(plan: Plan, context: Context, asked: str) -> str:
    """The key of what is forecast of a plan; `asked` says on which devices."""
    facts, recipe = context.facts, context.recipe
    inputs: dict[str, Any] = {
        "asked": asked,
        "plan": digest(plan),
        "config": dict(facts.model.config),
        "recipe": recipe.model_dump(mode="json", include={"hardware", "train", "data", "tune", "eval"}),
        "stated": sorted(recipe.train.model_fields_set),
        "memory": facts.memory,
        "gpu": None if facts.gpu is None else [facts.gpu.name, facts.gpu.memory, *facts.gpu.capability],
        "packages": facts.packages,
        "catalogue": [_file_digest(CATALOGUE), _file_digest(SPEEDS)],
        "prices": dict(shared_prices().prices),
    }
    if asked == "own" and plan.environment is not None:
        inputs["machine"] = machine(plan.environment.device).model_dump(mode="json")
        inputs["measured"] = {path.name: _file_digest(path) for path in sorted(directory().glob("*.json"))}
    return cache_key(KIND, inputs, {}, code=code_digest(*CODE))


def _file_digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def remembered(cache: Cache, key: str, make: Made) -> tuple[Forecast, ...]:
    """The forecasts under a key, or those that are made now."""
    from pydantic import TypeAdapter

    adapter = TypeAdapter(tuple[Forecast, ...])
    kept = cache.recall(KIND, key)
    if kept is not None:
        return adapter.validate_json(kept)
    made = make()
    cache.remember(KIND, key, adapter.dump_json(made))
    return made
