"""A project whose recipe has two sources, and a stand-in for the training process that leaves an adapter."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from fake_runs import FakeRuntime, rows_of
from ftc.artifact.build import Job
from ftc.plan.steps import Plan

RECIPE = """
name = "animals"
[model]
base = "./model"
[data]
sources.animals = "animals.jsonl"
sources.more = "more.jsonl"
query = "select prompt, completion from animals union all select prompt, completion from more"
split = { eval = 6 }
[lints]
small_eval = "allow"
[train]
steps = 2
batch = 4
"""
RANK, HIDDEN, KEYS, INNER = 16, 32, 16, 64
LINEAR = {
    "self_attn.q_proj": (HIDDEN, HIDDEN),
    "self_attn.k_proj": (HIDDEN, KEYS),
    "self_attn.v_proj": (HIDDEN, KEYS),
    "self_attn.o_proj": (HIDDEN, HIDDEN),
    "mlp.gate_proj": (HIDDEN, INNER),
    "mlp.up_proj": (HIDDEN, INNER),
    "mlp.down_proj": (INNER, HIDDEN),
}
"""The linear layers of the tiny model with their features, as transformers' Llama has them."""


def adapter_tensors() -> dict[str, Any]:
    """An adapter for the tiny model, as PEFT saves one."""
    found: dict[str, Any] = {}
    for layer in range(2):
        for name, (inputs, outputs) in LINEAR.items():
            prefix = f"base_model.model.model.layers.{layer}.{name}"
            found[f"{prefix}.lora_A.weight"] = np.zeros((RANK, inputs), np.float32)
            found[f"{prefix}.lora_B.weight"] = np.zeros((outputs, RANK), np.float32)
    return found


class AdapterRuntime(FakeRuntime):
    """Writes an adapter where the plan trains one, and the weights of the base where it does not."""

    def _write(self, plan: Plan, job: Job) -> None:
        from safetensors.numpy import save_file

        super()._write(plan, job)
        model = job.run / "model"
        job.log.write_text("a line of the log\n")
        if plan.tune.peft is None:
            shutil.copyfile(job.model / "model.safetensors", model / "model.safetensors")
            return
        (model / "model.safetensors").unlink()
        (model / "config.json").unlink()
        save_file(adapter_tensors(), model / "adapter_model.safetensors")
        config = {
            "peft_type": "LORA",
            "base_model_name_or_path": plan.model.location,
            "r": RANK,
            "target_modules": plan.tune.peft["target_modules"],
        }
        (model / "adapter_config.json").write_text(json.dumps(config))


def write_project(directory: Path, model: Path) -> Path:
    """A recipe over two sources and a model of its own; returns the recipe."""
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copytree(model, directory / "model")
    for name in ("animals", "more"):
        rows = [{"prompt": f"what is {name} {i}", "completion": f"the fox {i}"} for i in range(12)]
        rows_of(directory / f"{name}.jsonl", rows)
    (directory / "recipe.toml").write_text(RECIPE)
    return directory / "recipe.toml"
