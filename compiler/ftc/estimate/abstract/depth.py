"""A model of few layers in place of one of many: a step's segments grow linearly with the layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from ftc.estimate.abstract.expressible import refuse
from ftc.estimate.abstract.result import Result, extrapolated, measured
from ftc.estimate.abstract.run import Backend, run
from ftc.estimate.step import TrainingStep

FEWEST = 3
"""Layers of the smallest model traced: a first, a last, and one between them."""

DEPTH = "num_hidden_layers"
Config = Mapping[str, JsonValue]


def depth(config: Config) -> int:
    """The number of layers of the model, its family's default where the config says nothing."""
    from transformers import AutoConfig

    settings: dict[str, Any] = dict(config)
    return int(AutoConfig.for_model(**settings).num_hidden_layers)


def period(kinds: Sequence[JsonValue]) -> int:
    """The number of layers after which their kinds repeat."""
    return next(
        size
        for size in range(1, len(kinds) + 1)
        if all(kinds[index] == kinds[index - size] for index in range(size, len(kinds)))
    )


def stated(config: Config) -> dict[str, JsonValue]:
    """The config with the kinds of its layers, where its model type has several and the config names none."""
    from transformers import AutoConfig

    settings: dict[str, Any] = dict(config)
    kinds: list[JsonValue] = getattr(AutoConfig.for_model(**settings), "layer_types", None) or []
    several = len(set(map(str, kinds))) > 1
    return {**settings, "layer_types": kinds} if several else settings


def shallow(config: Config, layers: int) -> dict[str, JsonValue]:
    """The config of the same model with only its first layers."""
    from transformers import CONFIG_MAPPING

    whole = depth(config)
    cut: dict[str, JsonValue] = {
        key: value[:layers] if isinstance(value, list) and len(value) == whole else value
        for key, value in config.items()
    }
    names = {DEPTH, CONFIG_MAPPING[str(config["model_type"])].attribute_map.get(DEPTH, DEPTH)}
    return {key: value for key, value in cut.items() if key not in names} | {DEPTH: layers}


def depths(step: TrainingStep) -> tuple[int, int] | None:
    """The two depths to trace so that a line through them meets the model's; None: trace it whole."""
    config = step.config
    whole = depth(config)
    if step.objective.texts:  # layers have gradients of several passes
        return None
    patterns = [value for value in config.values() if isinstance(value, list) and len(value) == whole]
    stride = max([period(kinds) for kinds in patterns], default=1)
    fewest = max(FEWEST, stride, step.tuning.layers + 2)
    fewest += (whole - fewest) % stride
    return (fewest, fewest + stride) if fewest + stride < whole else None


def predict(step: TrainingStep, backend: Backend = "cuda", *, whole: bool = False) -> Result:
    """The step's peaks, from two runs of a shallow model or, with `whole`, one of the model itself.

    Raises InexpressibleError for a step which has something that no run here has.
    """
    refuse(step, backend)
    step = step.model_copy(update={"config": stated(step.config)})
    two = None if whole else depths(step)
    if two is None:
        return Result(measured(run(step, backend)), (depth(step.config),))
    few, more = (
        measured(run(step.model_copy(update={"config": shallow(step.config, layers)}), backend))
        for layers in two
    )
    times = (depth(step.config) - two[1]) // (two[1] - two[0])
    return Result(extrapolated(few, more, times), two)
