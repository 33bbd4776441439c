"""Every method trains for real, resumes, saves, and loads back as a user would load it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ftc import tuning
from ftc.estimate.inventory import modules
from ftc.plan.steps import Plan
from ftc.runtime.events import Checkpoint, Event, Step
from ftc.runtime.metrics import METRICS
from runtime.in_process import execute
from tiny_plan import Tiny, write_tiny

pytestmark = pytest.mark.filterwarnings("ignore")
STEPS = 8
CASES: dict[str, tuple[str, dict[str, Any], float]] = {
    "full": ("full", {}, 1e-2),
    "freeze": ("freeze", {"last_layers": 1, "norms": True}, 1e-2),
    "freeze by name": ("freeze", {"modules": ("mlp", "lm_head")}, 1e-2),
    "lora": ("lora", {"rank": 4, "rslora": True}, 1e-2),
    "dora": ("lora", {"rank": 4, "dora": True}, 1e-2),
    "gaussian": ("lora", {"rank": 4, "init": "gaussian"}, 1e-2),
    "orthogonal": ("lora", {"rank": 4, "init": "orthogonal"}, 1e-2),
    "olora": ("lora", {"rank": 4, "init": "olora"}, 1e-2),
    "pissa": ("lora", {"rank": 4, "init": "pissa", "rslora": True}, 1e-2),
    "pissa, dora": ("lora", {"rank": 4, "init": "pissa", "dora": True}, 1e-2),
    "pissa_fast": ("lora", {"rank": 4, "init": "pissa_fast", "modules_to_save": ("lm_head",)}, 1e-2),
    "mica": ("lora", {"rank": 4, "init": "mica"}, 1e-2),
    "eva": ("lora", {"rank": 4, "init": "eva", "init_rows": 8}, 1e-2),
    "corda": ("lora", {"rank": 4, "init": "corda", "init_rows": 8}, 1e-2),
    "modules_to_save": ("lora", {"rank": 4, "modules_to_save": ("lm_head", "embed_tokens")}, 1e-2),
    "qlora": ("qlora", {"rank": 4}, 1e-2),
    "loftq": ("qlora", {"rank": 4, "init": "loftq"}, 1e-2),
    "int8": ("qlora", {"rank": 4, "quantise": "int8"}, 1e-2),
    "loha": ("loha", {"rank": 4}, 1e-2),
    "lokr": ("lokr", {"rank": 4}, 1e-2),
    "vera": ("vera", {"rank": 16}, 5e-2),
    "oft": ("oft", {"block": 16}, 1e-2),
    "boft": ("boft", {"block": 4}, 1e-2),
    "ia3": ("ia3", {}, 5e-2),
    "ln": ("ln", {}, 5e-2),
    "prompt": ("prompt", {"tokens": 5}, 5e-2),
    "prompt, text": ("prompt", {"tokens": 5, "text": "the lazy dog"}, 5e-2),
    "prefix": ("prefix", {"tokens": 5}, 5e-2),
    "p_tuning": ("p_tuning", {"tokens": 5, "hidden": 24}, 5e-3),
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Tiny:
    return write_tiny(tmp_path_factory.mktemp("tuning"), tiny_model, train_rows=12, eval_rows=4)


def plan_of(tiny: Tiny, case: str) -> Plan:
    name, options, rate = CASES[case]
    method = tuning.load(name)
    known = modules(json.loads((tiny.model / "config.json").read_text(encoding="utf-8")))
    written = method.options(method=name, **options)
    assert method.problems(written, known) == ()
    step = method.lower(written, known)
    step = step.model_copy(update={"parameters": method.count(step, known), "total": known.numel})
    plan = tiny.plan(steps=STEPS, save_every=3, learning_rate=rate)
    return plan.model_copy(update={"tune": step, "eval": None})


def losses(run: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / METRICS).read_text(encoding="utf-8").splitlines()]


def as_a_user(plan: Plan, tiny: Tiny, run: Path) -> Any:
    """The run's model as its README says to load it, on the base as it was."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from ftc.runtime.quantise import bitsandbytes_config

    if plan.tune.peft is None:
        return AutoModelForCausalLM.from_pretrained(run / "model").eval()
    few_bits: dict[str, Any] = {}
    if plan.tune.quantise is not None:
        few_bits = {"quantization_config": bitsandbytes_config(plan.tune.quantise, "float32")}
    base = AutoModelForCausalLM.from_pretrained(tiny.model, **few_bits)
    return PeftModel.from_pretrained(base, run / "model").eval()


def logits(model: Any) -> Any:
    import torch

    with torch.no_grad():
        return model(input_ids=torch.arange(3, 43).reshape(2, 20)).logits


@pytest.mark.parametrize("case", CASES)
def test_a_method_trains_resumes_and_loads_back(
    case: str, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from ftc.runtime import save

    plan = plan_of(tiny, case)
    seen: list[Any] = []
    real = save.save_model

    def look(plan: Any, model: Any, *rest: Any) -> tuple[str, ...]:
        seen.append(logits(model.eval()))
        return real(plan, model, *rest)

    monkeypatch.setattr(save, "save_model", look)
    whole = execute(tiny, plan, tmp_path / "whole")
    assert whole.status == 0, whole.log[-3000:]
    told = losses(whole.directory)
    assert min(told[-3:]) < told[0], told

    loaded = logits(as_a_user(plan, tiny, whole.directory))
    close = 0.02 if plan.tune.quantise else 1e-4
    assert torch.allclose(seen[0], loaded, atol=close), float((seen[0] - loaded).abs().max())

    def at_four(event: Event) -> bool:
        return isinstance(event, Step) and event.step == 4

    stopped = execute(tiny, plan, tmp_path / "parts", stop_when=at_four)
    assert stopped.of(Checkpoint)
    resumed = execute(tiny, plan, tmp_path / "parts")
    assert resumed.status == 0, resumed.log[-3000:]
    assert losses(tmp_path / "parts") == told
    assert torch.equal(seen[-1], seen[0])
