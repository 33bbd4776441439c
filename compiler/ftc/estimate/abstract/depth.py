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
TEXT = "text_config"
DENSE = "first_k_dense_replace"
"""How many layers come before those with experts."""

Config = Mapping[str, JsonValue]


def text(config: Config) -> Config:
    """The part of a config that describes the language model: all of it, where nothing stands beside it."""
    nested = config.get(TEXT)
    return nested if isinstance(nested, dict) else config


def known(config: Config) -> Any:
    """The config that transformers has of the language model, with the defaults of its model type."""
    from transformers import AutoConfig

    settings: dict[str, Any] = dict(config)
    return AutoConfig.for_model(**settings).get_text_config()


def _with_text(config: Config, **changes: JsonValue) -> dict[str, JsonValue]:
    """The config with changes of the language model's part."""
    if text(config) is config:
        return {**config, **changes}
    return {**config, TEXT: {**text(config), **changes}}


def depth(config: Config) -> int:
    """The number of layers of the model, its family's default where the config says nothing."""
    return int(known(config).num_hidden_layers)


def period(kinds: Sequence[JsonValue]) -> int:
    """The number of layers after which their kinds repeat."""
    return next(
        size
        for size in range(1, len(kinds) + 1)
        if all(kinds[index] == kinds[index - size] for index in range(size, len(kinds)))
    )


def stated(config: Config) -> dict[str, JsonValue]:
    """The config with the kinds of its layers, where its model type has several and the config names none."""
    kinds: list[JsonValue] = getattr(known(config), "layer_types", None) or []
    several = len(set(map(str, kinds))) > 1
    return _with_text(config, layer_types=kinds) if several else dict(config)


def shallow(config: Config, layers: int) -> dict[str, JsonValue]:
    """The config of the same model with only its first layers."""
    whole_config = known(config)
    whole = int(whole_config.num_hidden_layers)
    names = {DEPTH, whole_config.attribute_map.get(DEPTH, DEPTH)}
    cut: dict[str, JsonValue] = {
        key: value[:layers] if isinstance(value, list) and len(value) == whole else value
        for key, value in text(config).items()
        if key not in names
    }
    cut[DEPTH] = layers
    return cut if text(config) is config else {**config, TEXT: cut}


def depths(step: TrainingStep) -> tuple[int, int] | None:
    """The two depths to trace so that a line through them meets the model's; None: trace it whole."""
    config = text(step.config)
    whole = depth(step.config)
    if step.objective.texts:  # layers have gradients of several passes
        return None
    patterns = [value for value in config.values() if isinstance(value, list) and len(value) == whole]
    stride = max([period(kinds) for kinds in patterns], default=1)
    dense = config.get(DENSE)
    apart = dense if isinstance(dense, int) else 0
    fewest = max(FEWEST + apart, stride, step.tuning.layers + 2)
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
