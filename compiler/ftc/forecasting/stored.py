"""Forecast plans that were made before: plan files and runs, by what is kept of them (`kept`)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftc.estimate.catalogue import find
from ftc.estimate.forecast import Forecast
from ftc.facts.cache import Cache
from ftc.facts.machine import first_cuda_device, memory_size
from ftc.forecasting.builds import Builds
from ftc.forecasting.kept import CONFIG, DEVICE
from ftc.launch.abstract_runs import abstract_runs
from ftc.plan.canonical import digest
from ftc.plan.fitting import target_on
from ftc.plan.steps import Plan
from ftc.recipe.hardware import Hardware

NO_CONFIG = "its model's configuration is not in the cache, where `ftc plan` of its recipe keeps it"


@dataclass(frozen=True)
class Rows:
    """Where the compiled rows of a stored plan are, and its sequences; None where they are not at hand."""

    directory: Path | None
    sequences: Path | None = None


def stored_forecast(plan: Plan, rows: Rows, cache: Cache, like: Hardware | None = None) -> Forecast | str:
    """What a whole plan's build takes where it was planned for, or why that cannot be told.

    Where it was not planned with this cache it is taken to run on the hardware of the plan beside it
    (`like`), if that is known, or on this machine.
    """
    config = cache.recall(CONFIG, plan.model.config_sha256) if plan.model is not None else None
    if config is None:
        return NO_CONFIG
    kept = cache.recall(DEVICE, digest(plan))
    hardware = like or Hardware() if kept is None else Hardware.model_validate_json(kept)
    cuda = plan.environment is not None and plan.environment.device == "cuda"
    named = find(hardware.gpu) if cuda and hardware.gpu is not None else None
    mine = first_cuda_device() if cuda else None
    builds = Builds(json.loads(config), hardware.prices, rows, others=_others(plan, cache))
    builds.note(plan)
    with abstract_runs(cache):
        return builds.where_it_runs(plan, target_on(plan, named, mine, memory_size()), named, mine)


def _others(plan: Plan, cache: Cache) -> dict[str, dict[str, Any]]:
    """The config.json of a teacher and of reward models, by their digests, as far as they are kept."""
    if plan.objective is None:
        return {}
    steps = [plan.objective.teacher, *(reward.model for reward in plan.objective.rewards)]
    digests = [step.config_sha256 for step in steps if step is not None]
    kept = {digest: cache.recall(CONFIG, digest) for digest in digests}
    return {digest: json.loads(text) for digest, text in kept.items() if text is not None}
