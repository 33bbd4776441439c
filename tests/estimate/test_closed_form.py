"""The closed form against the abstract run of the same step, and its own laws."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimate.closed_steps import METHODS, MODELS, SHAPES, SMALL_GRID, large_grid, step
from ftc.estimate.architecture import FAMILIES, InexpressibleError
from ftc.estimate.closed_form import estimate
from ftc.estimate.step import Batch, Objective, Sharding, TrainingStep, Tuning


def error(of: TrainingStep) -> float:
    """The closed form's peak over the abstract run's, in per cent."""
    from ftc.estimate.abstract.depth import predict

    exact = max(peak.size for peak in predict(of).phases.values())
    return 100 * (estimate(of).peak / exact - 1)


@pytest.mark.parametrize(("model", "method", "checkpointing"), SMALL_GRID)
def test_it_agrees_with_the_abstract_run(model: str, method: str, checkpointing: str) -> None:
    assert abs(error(step(model, method, checkpointing, SHAPES[0]))) < 0.5


@pytest.mark.slow
def test_it_agrees_with_the_abstract_run_over_families_methods_and_shapes() -> None:
    errors = {}
    for case in large_grid():
        errors[case] = abs(error(step(*case)))
    worst = max(errors, key=lambda case: errors[case])
    assert errors[worst] < 3, worst
    assert statistics.median(errors.values()) < 0.05
    assert statistics.quantiles(errors.values(), n=20)[-1] < 1


def changed(of: TrainingStep, **changes: Any) -> TrainingStep:
    return of.model_copy(update=changes)


cases = st.builds(
    step,
    st.sampled_from(sorted(MODELS)),
    st.sampled_from(["full", "lora", "qlora", "eager", "head", "autocast"]),
    st.sampled_from(["none", "reentrant", "non-reentrant"]),
    st.sampled_from([(1, 128), (2, 512), (1, 3000)]),
)


@settings(deadline=None)
@given(cases, st.integers(1, 4))
def test_more_tokens_never_take_less(of: TrainingStep, more: int) -> None:
    longer = Batch(rows=of.batch.rows, length=of.batch.length + 64 * more)
    wider = Batch(rows=of.batch.rows + more, length=of.batch.length)
    peak = estimate(of).peak
    assert estimate(changed(of, batch=longer)).peak >= peak
    assert estimate(changed(of, batch=wider)).peak >= peak


@settings(deadline=None)
@given(cases, st.integers(1, 3).map(lambda times: 12 * times))
def test_more_layers_take_more_and_by_a_line(of: TrainingStep, more: int) -> None:
    """By as many as the kinds of layers repeat after: every second, fourth or sixth looks at no window."""
    name = "n_layer" if "n_layer" in of.config else "num_hidden_layers"

    def segments(layers: int) -> dict[str, int]:
        return estimate(changed(of, config={**of.config, name: layers})).segments

    few, many, most = segments(10), segments(10 + more), segments(10 + 2 * more)
    for segment in ("load", "loss forward", "optimizer step"):
        assert few[segment] < many[segment]
        assert most[segment] - many[segment] == pytest.approx(many[segment] - few[segment], abs=1024)


@settings(deadline=None)
@given(cases, st.integers(1, 64))
def test_a_higher_rank_never_takes_less(of: TrainingStep, more: int) -> None:
    if of.tuning.method == "lora" and of.tuning.rank:
        higher = of.tuning.model_copy(update={"rank": of.tuning.rank + more})
        assert estimate(changed(of, tuning=higher)).peak >= estimate(of).peak


@settings(deadline=None)
@given(cases)
def test_checkpointing_never_keeps_more(of: TrainingStep) -> None:
    plain = estimate(changed(of, checkpointing="none")).segments["loss forward"]
    assert estimate(changed(of, checkpointing="reentrant")).segments["loss forward"] <= plain


@settings(deadline=None)
@given(cases)
def test_the_breakdown_is_the_peak(of: TrainingStep) -> None:
    found = estimate(of)
    assert sum(found.breakdown.values()) == found.peak == max(found.segments.values())
    assert all(size >= 0 for size in found.breakdown.values())


@settings(deadline=None)
@given(st.sampled_from(sorted(MODELS)), st.sampled_from([2, 4, 8]))
def test_sharding_splits_what_stays(model: str, devices: int) -> None:
    whole = step(model, "full", "reentrant", (1, 128))
    split = changed(whole, sharding=Sharding(kind="fsdp2", devices=devices))
    assert (
        estimate(split).segments["optimizer step"]
        < estimate(whole).segments["optimizer step"] / devices * 1.1
    )


def test_a_large_model_takes_no_longer_than_a_small_one() -> None:
    def calls(layers: int, hidden: int) -> int:
        config = {**MODELS["llama"], "num_hidden_layers": layers, "hidden_size": hidden}
        found = 0

        def count(*_: object) -> None:
            nonlocal found
            found += 1

        sys.setprofile(count)
        estimate(changed(step("llama", "lora", "reentrant", (1, 4096)), config=config))
        sys.setprofile(None)
        return found

    assert calls(80, 8192) <= calls(16, 2048) * 1.01


def test_it_takes_milliseconds() -> None:
    of = step("llama", "qlora", "reentrant", (1, 4096))
    times = []
    for _ in range(5):
        started = time.process_time()
        estimate(of)
        times.append(time.process_time() - started)
    assert min(times) < 0.01


def test_every_family_and_method_has_an_account() -> None:
    for model in MODELS:
        for method in METHODS:
            assert estimate(step(model, method, "none", (1, 64))).peak > 0
    assert {config["model_type"] for config in MODELS.values()} <= set(FAMILIES)


def test_what_it_has_no_account_of_is_said() -> None:
    of = step("llama", "full", "none", (1, 64))
    with pytest.raises(InexpressibleError, match="model type mamba"):
        estimate(changed(of, config={"model_type": "mamba"}))
    with pytest.raises(InexpressibleError, match="ZeRO"):
        estimate(changed(of, sharding=Sharding(kind="zero3", devices=8)))
    with pytest.raises(InexpressibleError, match=r"beside its text model \(vision_config\)"):
        estimate(changed(of, config={**of.config, "vision_config": {"model_type": "siglip_vision_model"}}))


def defaults() -> Iterator[tuple[str, dict[str, Any]]]:
    """The default config.json of every model type of transformers that has one."""
    from huggingface_hub.errors import StrictDataclassError
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    for name, kind in CONFIG_MAPPING.items():
        with suppress(StrictDataclassError, ImportError, ValueError):
            yield name, json.loads(kind().to_json_string(use_diff=False))


def test_every_model_type_of_transformers_is_counted_or_refused() -> None:
    of, counted = step("llama", "full", "none", (1, 64)), set()
    for name, config in list(defaults()):
        with suppress(InexpressibleError):
            assert estimate(changed(of, config=config)).peak > 0
            counted.add(name)
    assert counted - {"gpt-sw3"} <= FAMILIES.keys()
    assert counted >= FAMILIES.keys() - {"gemma3"}  # by default with a model of images


def test_generation_holds_keys_and_values_of_every_token() -> None:
    of = step("llama", "full", "reentrant", (1, 512))
    shorter, longer = (
        changed(of, objective=Objective(kind="grpo", prompt=16, completion=tokens, generations=8))
        for tokens in (4096, 8192)
    )
    heads, size, layers = 4, 64, 10
    cache = 8 * 4096 * 2 * heads * size * 2 * layers
    found = [estimate(each).segments["generation"] for each in (shorter, longer)]
    assert cache < found[1] - found[0] < cache * (1 + 2 / layers)


def test_freezing_holds_gradients_of_the_last_layers_alone() -> None:
    frozen = changed(step("llama", "full", "none", (1, 512)), tuning=Tuning(method="freeze", layers=2))
    full = step("llama", "full", "none", (1, 512))
    assert estimate(frozen).segments["save"] < estimate(full).segments["save"] / 2
