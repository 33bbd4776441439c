"""TRL's options read from its source, against TRL itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ftc import objectives
from ftc.facts.trl_fields import OWNED, RETIRED, TrlNotFoundError, check_trl_options, config_fields
from ftc.recipe.language import field_at
from ftc.recipe.load import load_recipe

CONFIGS = ("SFTConfig", "DPOConfig", "RewardConfig")


@pytest.fixture(scope="module")
def real() -> dict[str, list[str]]:
    program = (
        "import dataclasses, json, trl\n"
        f"print(json.dumps({{c: [f.name for f in dataclasses.fields(getattr(trl, c))] for c in {CONFIGS}}}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    fields: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return fields


@pytest.mark.parametrize("name", CONFIGS)
def test_fields_are_those_of_the_real_class(name: str, real: dict[str, list[str]]) -> None:
    assert set(config_fields(f"trl:{name}")) == set(real[name])


def test_annotations_come_along() -> None:
    fields = config_fields("trl:SFTConfig")
    assert fields["adam_beta1"] == "float"
    assert "bool" in fields["packing"]


def test_reading_imports_neither_trl_nor_transformers() -> None:
    program = (
        "import sys; from ftc.facts.trl_fields import config_fields; assert config_fields('trl:SFTConfig'); "
        "assert not {'trl', 'transformers', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("config", ["trl:NoSuchConfig", "no_such_package_x:SFTConfig"])
def test_what_is_not_installed_is_said(config: str) -> None:
    with pytest.raises(TrlNotFoundError):
        config_fields(config)


def test_every_key_named_instead_exists() -> None:
    for key in {*OWNED.values(), *RETIRED.values()} - {""}:
        assert field_at(tuple(key.split(".")), {}) is not None, key
    for name in objectives.OBJECTIVES:
        values = {"train": {"objective": {"name": name}}}
        for key in set(objectives.load(name).owned.values()) - {""}:
            assert field_at(tuple(key.split(".")), values) is not None, (name, key)


def options(tmp_path: Path, text: str) -> list[tuple[str, str]]:
    path = tmp_path / "recipe.toml"
    path.write_text(f'[model]\nbase = "x/y"\n[data]\nsources.rows = "a.csv"\n[train.trl]\n{text}\n')
    loaded = load_recipe(path)
    assert loaded.recipe is not None
    return [(finding.code, *finding.help) for finding in check_trl_options(loaded.recipe, loaded.origins)]


@pytest.mark.parametrize(
    "text",
    [
        'optim_args = "a=1"',
        "adam_beta1 = 1",
        "torch_compile_mode = 'default'",
        "liger_kernel_config = { rope = true }",
        'include_num_input_tokens_seen = "all"',
        "dataloader_num_workers = 2",
        'optim_target_modules = ["q_proj"]',
    ],
)
def test_good_options_pass(tmp_path: Path, text: str) -> None:
    assert options(tmp_path, text) == []


@pytest.mark.parametrize(
    ("text", "code", "help_line"),
    [
        ("adam_beta = 0.9", "FTC503", "did you mean `adam_beta1`?"),
        ("batch = 4", "FTC503", "`batch` is a key of [train]: move it there"),
        ("max_steps = 4", "FTC504", "write `train.steps` instead"),
        ("max_length = 4", "FTC504", "write `data.max_length` instead"),
        ("padding_free = true", "FTC504", "remove it: ftc decides this itself"),
        ("neftune_noise_alpha = 5.0", "FTC504", "write `train.neftune` instead"),
        ("lr_scheduler_kwargs = { num_cycles = 2 }", "FTC504", "write `train.schedule` instead"),
        ("warmup_ratio = 0.1", "FTC504", "write `train.warmup` instead"),
        ("adam_beta1 = true", "FTC103", "write a number such as 0.1"),
        ("tf32 = 1", "FTC103", "write true"),
        ("optim_args = 3", "FTC103", 'put it in quotes: "3"'),
    ],
)
def test_bad_options_say_what_to_write(tmp_path: Path, text: str, code: str, help_line: str) -> None:
    assert options(tmp_path, text) == [(code, help_line)]
