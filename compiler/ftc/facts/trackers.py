"""Trackers that a recipe names: whether their packages are installed."""

from __future__ import annotations

from importlib.util import find_spec

from ftc.diagnostics import Finding
from ftc.recipe.layers import Origins
from ftc.recipe.model import Recipe

PACKAGES: dict[str, tuple[str, ...]] = {
    "mlflow": ("mlflow",),
    "tensorboard": ("tensorboard", "tensorboardX"),
    "trackio": ("trackio",),
    "wandb": ("wandb",),
}
"""The modules of each tracker, of which one must be there."""


def check_trackers(recipe: Recipe, origins: Origins) -> tuple[Finding, ...]:
    """A finding for each tracker whose package is not installed; nothing is imported."""
    found = []
    for index, name in enumerate(recipe.train.trackers or ()):
        if any(find_spec(module) is not None for module in PACKAGES[name]):
            continue
        span = origins.value("train", "trackers", index)
        message = f"the tracker {name} is not installed"
        found.append(Finding("FTC553", message, span, help=(f"pip install {PACKAGES[name][0]}",)))
    return tuple(found)
