"""What is kept in the cache whenever a plan is made, so that it can be forecast once it is a file or a run.

A plan names its model's configuration by digest alone, and the GPU that it is for not at all.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ftc.facts.cache import Cache
from ftc.plan.canonical import digest

if TYPE_CHECKING:
    from ftc.plan.context import Context
    from ftc.plan.steps import Plan

CONFIG, DEVICE = "config", "device"


def keep(plan: Plan, context: Context, cache: Cache) -> None:
    """Keep what a forecast of the plan needs and the plan has not: its model's config.json, and the GPU.

    The plan may be of a sample or not whole yet; then the configuration alone is kept.
    """
    facts, hardware = context.facts, context.recipe.hardware
    _keep(cache, CONFIG, facts.model.config_sha256, dict(facts.model.config))
    for name, config in facts.others.items():
        _keep(cache, CONFIG, name, dict(config))
    if plan.environment is not None and not context.estimated:
        _keep(cache, DEVICE, digest(plan), hardware.model_dump(mode="json"))


def _keep(cache: Cache, kind: str, key: str, value: dict[str, Any]) -> None:
    text = json.dumps(value, sort_keys=True).encode()
    if cache.recall(kind, key) != text:
        cache.remember(kind, key, text)
