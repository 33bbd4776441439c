"""The README's main job, shortened: real rows, a real model, and an improvement that is honest."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "examples" / "question-routing" / "recipe.toml"
SHORTER = ["--set", "data.split.eval=100", "--set", "train.steps=24"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@cache
def build(runs: Path, again: bool = False) -> dict[str, Any]:
    """The document that `ftc build --json` prints; `again` is a second, separate build of the same recipe."""
    command = [sys.executable, "-m", "ftc", "build", "--json", "--runs", str(runs), *SHORTER, str(RECIPE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads(done.stdout)["results"][0]
    return result


def test_answers_get_much_better_on_rows_never_trained_on(runs: Path) -> None:
    result = build(runs)
    before, after = result["evaluation"]["before"], result["evaluation"]["after"]
    assert result["status"] == "built"
    assert before["exact_match_rows"] == after["exact_match_rows"] == 100
    assert before["exact_match"] <= 0.1
    assert after["exact_match"] >= 0.6
    assert after["label_accuracy"] >= before["label_accuracy"] + 0.25
    assert after["loss"] < before["loss"] / 2


def test_the_ledger_proves_that_held_out_rows_are_not_trained(runs: Path) -> None:
    run = Path(build(runs)["run"])
    ledger = json.loads((run / "data" / "ledger.json").read_text(encoding="utf-8"))
    plan = json.loads((run / "plan.json").read_text(encoding="utf-8"))
    assert ledger == plan["data"]["ledger"]
    trained = [
        row for path in (run / "data").glob("train-*.parquet") for row in pq.read_table(path).to_pylist()
    ]
    held = [row for path in (run / "data").glob("eval-*.parquet") for row in pq.read_table(path).to_pylist()]
    dropped = pq.read_table(run / "data" / "dropped.parquet").column("id").to_pylist()
    ids = [row["id"] for row in (*trained, *held)] + dropped
    assert len(ids) == len(set(ids)) == ledger["read"]
    assert (len(trained), len(held)) == (ledger["train"], ledger["eval"])
    prompts = {tuple(row["input_ids"][: row["prompt_length"]]) for row in trained}
    assert not prompts & {tuple(row["input_ids"][: row["prompt_length"]]) for row in held}


def test_a_second_build_finds_everything_there(runs: Path) -> None:
    first, second = build(runs), build(runs, again=True)
    assert second["status"] == "up to date"
    assert second["run"] == first["run"]
    assert second["evaluation"] == first["evaluation"]


def test_the_run_loads_as_its_readme_says(runs: Path) -> None:
    run = Path(build(runs)["run"])
    readme = (run / "README.md").read_text(encoding="utf-8")
    code = readme.partition("```python\n")[2].partition("```")[0]
    assert "PeftModel" in code
    probe = code + '\nprint(type(model).__name__, len(tokenizer("Answer type: place").input_ids))\n'
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, cwd=run, check=False)
    assert done.stdout.split()[0].startswith("PeftModel"), done.stderr[-2000:]
