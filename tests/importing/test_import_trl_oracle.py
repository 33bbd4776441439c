"""Imported TRL configurations against TRL's own parser, the one oracle that is installed."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from ftc import api
from ftc.importing import load
from ftc.importing.work import Wish, import_file
from models import write_tiny_tokenizer

COMMON = """
    model_name_or_path: ./model
    use_cpu: true
    bf16: false
"""
WHOLE = """
    datasets:
      - path: json
        data_files: rows.jsonl
    learning_rate: 3.0e-4
    num_train_epochs: 2
    per_device_train_batch_size: 4
    gradient_accumulation_steps: 2
    use_peft: true
    lora_r: 4
    lora_alpha: 12
    lora_target_modules: [q_proj, o_proj]
    use_rslora: true
    max_length: 256
    assistant_only_loss: true
    lr_scheduler_type: cosine_with_min_lr
    lr_scheduler_kwargs: {min_lr_rate: 0.1}
    warmup_steps: 3
    weight_decay: 0.01
    max_grad_norm: 0.5
    adam_beta2: 0.95
    adam_epsilon: 1e-7
    seed: 7
    save_steps: 5
    neftune_noise_alpha: 5
"""
LORA = """
    dataset_name: org/talks
    use_peft: true
    packing: true
    warmup_steps: 0.1
"""
SAMPLED = """
    dataset_name: org/prompts
    reward_funcs: [exact_match]
    num_generations: 4
    temperature: 0.7
    per_device_train_batch_size: 8
    scale_rewards: none
"""
CONFIGS: dict[str, tuple[str, str]] = {
    "whole": ("SFTConfig", WHOLE),
    "defaults": ("SFTConfig", "dataset_name: org/talks\npacking: false\n"),
    "lora_defaults": (
        "SFTConfig",
        "dataset_name: org/talks\nuse_peft: true\npacking: true\nwarmup_steps: 0.1\n",
    ),
    "dpo": ("DPOConfig", "dataset_name: org/pairs\nbeta: 0.3\nloss_type: [ipo]\nld_alpha: null\n"),
    "kto": ("KTOConfig", "dataset_name: org/judged\ndesirable_weight: 0.7\nmax_steps: 9\n"),
    "reward": ("RewardConfig", "dataset_name: org/pairs\ncenter_rewards_coefficient: 0.01\nbf16: false\n"),
    "grpo": (
        "GRPOConfig",
        SAMPLED,
    ),
}


def text_of(name: str) -> str:
    own = dedent(CONFIGS[name][1]).strip("\n")
    common = [line for line in dedent(COMMON).strip("\n").splitlines() if line.split(":")[0] not in own]
    return "\n".join([*common, own, ""])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configurations, rows of talk, and a model's tokenizer and sizes without its weights' values."""
    home = tmp_path_factory.mktemp("imported")
    for name in CONFIGS:
        (home / f"{name}.yaml").write_text(text_of(name), encoding="utf-8")
    talk = [[("user", f"what is {n}?"), ("assistant", f"the number {n}")] for n in range(40)]
    lines = [{"messages": [{"role": role, "content": said} for role, said in turns]} for turns in talk]
    (home / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    size = write_tiny_tokenizer(home / "model")
    config = {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": size, "hidden_size": 32,
        "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
        "max_position_embeddings": 512, "rms_norm_eps": 1e-6, "tie_word_embeddings": False,
    }  # fmt: skip
    (home / "model" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file({"model.norm.weight": np.zeros(32, np.float32)}, home / "model" / "model.safetensors")
    return home


@pytest.fixture(scope="module")
def oracle(project: Path) -> dict[str, dict[str, Any]]:
    """What TRL's parser yields from each configuration."""
    pairs = [part for name, (kind, _) in CONFIGS.items() for part in (kind, f"{name}.yaml")]
    script = Path(__file__).with_name("trl_oracle.py")
    done = subprocess.run(
        [sys.executable, str(script), *pairs], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(CONFIGS, json.loads(done.stdout), strict=True))


def recipe_of(name: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(project)
    out = project / f"{name}.toml"
    objective = CONFIGS[name][0].removesuffix("Config").lower()
    done = import_file(Path(f"{name}.yaml"), Wish(out, "trl", objective))
    assert done.text is not None, done.findings
    assert {one.kind for one in done.verdicts.values()} <= {"carried", "not_needed"}
    out.write_text(done.text, encoding="utf-8")
    return tomllib.loads(done.text)


def test_a_plan_trains_with_what_trl_parses(
    project: Path, oracle: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each field of SFTConfig and ModelConfig that says how training goes is the same in the plan."""
    recipe_of("whole", project, monkeypatch)
    planned = api.plan(project / "whole.toml")
    assert planned.plan is not None, [finding.message for finding in planned.findings]
    train, tune = planned.plan.train, planned.plan.tune
    assert train is not None
    assert tune is not None
    trl, arguments = oracle["whole"], train.arguments
    own = (
        "learning_rate", "lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps", "weight_decay",
        "max_grad_norm", "adam_beta2", "adam_epsilon", "seed", "neftune_noise_alpha", "optim",
        "gradient_checkpointing",
    )  # fmt: skip
    for field in own:
        assert (field, arguments.get(field, getattr(planned.plan, field, None))) == (field, trl[field])
    assert train.micro_batch == trl["per_device_train_batch_size"]
    assert train.accumulation == trl["gradient_accumulation_steps"]
    assert train.save_every == trl["save_steps"]
    assert train.epochs == trl["num_train_epochs"]
    assert train.steps == 2 * 40 // (trl["per_device_train_batch_size"] * trl["gradient_accumulation_steps"])
    peft = tune.peft or {}
    for ours, theirs in (
        ("r", "lora_r"),
        ("lora_alpha", "lora_alpha"),
        ("lora_dropout", "lora_dropout"),
        ("target_modules", "lora_target_modules"),
        ("use_rslora", "use_rslora"),
    ):
        assert (ours, peft[ours]) == (ours, trl[theirs])
    assert planned.plan.limits is None or planned.plan.limits.max_length == trl["max_length"]


FIELDS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "learning_rate": lambda recipe: recipe["train"]["learning_rate"],
    "seed": lambda recipe: recipe["seed"],
    "gradient_checkpointing": lambda recipe: recipe["train"]["gradient_checkpointing"],
    "warmup_steps": lambda recipe: recipe["train"].get("warmup", 0),
    "weight_decay": lambda recipe: recipe["train"].get("weight_decay", 0),
    "max_grad_norm": lambda recipe: recipe["train"].get("max_grad_norm", 1),
    "lr_scheduler_type": lambda recipe: recipe["train"].get("schedule", "linear"),
    "label_smoothing_factor": lambda recipe: recipe["train"].get("label_smoothing", 0),
    "use_peft": lambda recipe: recipe["tune"]["method"] == "lora",
}
"""Fields that every config has, and what stands for them in a recipe, ftc's defaults included."""

OWN: dict[str, dict[str, str]] = {
    "defaults": {"max_length": "data.max_length", "packing": "data.packing"},
    "lora_defaults": {
        "lora_r": "tune.rank", "lora_alpha": "tune.alpha", "lora_dropout": "tune.dropout",
        "packing": "data.packing",
    },
    "dpo": {"beta": "train.objective.beta", "max_length": "data.max_length"},
    "kto": {"desirable_weight": "train.objective.desirable", "max_steps": "train.steps"},
    "reward": {"center_rewards_coefficient": "train.objective.centre"},
    "grpo": {
        "num_generations": "train.objective.generations", "temperature": "train.objective.temperature",
        "max_completion_length": "train.objective.max_new_tokens", "scale_rewards": "train.objective.scale",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "whole"])
def test_a_recipe_says_what_trl_parses_defaults_included(
    name: str, project: Path, oracle: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, trl = recipe_of(name, project, monkeypatch), oracle[name]
    for field, found in FIELDS.items():
        assert (field, found(recipe)) == (field, trl[field])
    for field, key in OWN[name].items():
        value: Any = recipe
        for part in key.split("."):
            value = value[part]
        assert (field, value) == (field, trl[field])
    rows = trl["per_device_train_batch_size"] * trl["gradient_accumulation_steps"]
    assert recipe["train"]["batch"] == (rows // trl["num_generations"] if name == "grpo" else rows)
    if trl["max_steps"] < 0:
        assert recipe["train"]["epochs"] == trl["num_train_epochs"]


def test_every_field_of_trl_is_known(oracle: dict[str, dict[str, Any]]) -> None:
    known = load("trl").known
    assert {field for fields in oracle.values() for field in fields} - known == set()
