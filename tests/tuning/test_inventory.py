"""Modules and trained parameters, counted from config.json and by the real model."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from ftc import tuning
from ftc.estimate.architecture import InexpressibleError
from ftc.estimate.inventory import modules
from ftc.plan.steps import TuneStep
from ftc.runtime.adapt import adapt, trained
from ftc.tuning.modules import Modules
from tuning.families import MODEL_TYPES, small_config, small_model

pytestmark = pytest.mark.filterwarnings("ignore")


def real_modules(model: Any) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        counts[name.rpartition(".")[0]] += parameter.numel()
    return dict(counts)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_the_modules_of_a_config_are_those_of_the_model(model_type: str) -> None:
    config = small_config(model_type)
    found, model = modules(config.to_dict()), small_model(config)
    listed = {m.name: m.numel for m in found.all if not (found.tied and m.kind == "head")}
    assert listed == real_modules(model)
    assert found.numel == sum(parameter.numel() for parameter in model.parameters())


def test_what_the_tables_do_not_know_is_refused() -> None:
    known = small_config("phi").to_dict()
    with pytest.raises(InexpressibleError, match="qk_layernorm"):
        modules({**known, "qk_layernorm": True})
    with pytest.raises(InexpressibleError, match="mamba"):
        modules({**known, "model_type": "mamba"})


OPTIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "full": ({},),
    "freeze": (
        {"last_layers": 1},
        {"first_layers": 1, "norms": True},
        {"embeddings": True, "head": True},
        {"head": True},
        {"modules": ("mlp", "*.0.mlp.*")},
    ),
    "lora": (
        {"rank": 4},
        {"rank": 4, "dora": True, "rslora": True},
        {"rank": 4, "init": "mica"},
        {"rank": 4, "init": "orthogonal"},
    ),
    "loha": ({"rank": 4},),
    "lokr": ({"rank": 4}, {"rank": 64}),
    "vera": ({"rank": 8},),
    "oft": ({"block": 16},),
    "boft": ({"block": 4},),
    "ia3": ({},),
    "ln": ({},),
    "prompt": ({"tokens": 5},),
    "prefix": ({"tokens": 5},),
    "p_tuning": ({"tokens": 5, "hidden": 24},),
}
CASES = [(name, options) for name, some in OPTIONS.items() for options in some]


def lowered(name: str, options: dict[str, Any], known: Modules) -> TuneStep:
    method = tuning.load(name)
    return method.lower(method.options(method=name, **options), known)


def test_every_method_is_counted() -> None:
    assert {*OPTIONS, "qlora"} == set(tuning.METHODS)


COUNTED = ("gemma2", "gpt2", "gpt_bigcode", "llama", "opt", "phi3", "qwen2_moe", "qwen3_moe")
"""One of each shape: the other types' modules are those of the model too, so their counts follow."""


@pytest.mark.parametrize("model_type", COUNTED)
def test_as_many_parameters_train_as_are_counted(model_type: str) -> None:
    config = small_config(model_type)
    known = modules(config.to_dict())
    wrong = {}
    for name, options in CASES:
        step = lowered(name, options, known)
        method = tuning.load(name)
        if method.problems(method.options(method=name, **options), known):
            continue
        model = small_model(config)
        if options.get("init") in ("mica", "orthogonal"):
            model = model.to_empty(device="cpu")
            for parameter in model.parameters():
                parameter.data.normal_()
        real, counted = trained(adapt(model, step)), method.count(step, known)
        if real != counted:
            wrong[name, str(options)] = (real, counted)
    assert not wrong
