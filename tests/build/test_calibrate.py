"""`ftc calibrate` from the recipe to what `ftc plan` may use, on a model of random weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftc.cli.main import run
from ftc.estimate.step import TrainingStep
from ftc.facts.cache import cache_root
from ftc.facts.staging import STAGING
from ftc.jobs.calibrating import calibrate
from ftc.launch import calibration
from ftc.launch.calibration import machine
from ftc.launch.local import Job
from ftc.plan.steps import Plan


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    directory = tmp_path_factory.mktemp("calibrated")
    rows = [{"prompt": f"the fox {'the ' * (i % 7)}{i}?", "completion": " yes"} for i in range(40)]
    (directory / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (directory / "recipe.toml").write_text(
        f'model.base = "{tiny_model}"\ndata.sources.rows = "rows.jsonl"\ndata.split = {{ eval = 8 }}\n'
        'render.chat = false\nlints = { small_eval = "allow" }\n'
        "train = { steps = 6, batch = 4 }\n",
        encoding="utf-8",
    )
    return directory / "recipe.toml"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(calibration, "directory", lambda: tmp_path / "kept")
    return tmp_path / "kept"


def test_a_recipe_is_measured_and_its_time_predicted(
    recipe: Path, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["calibrate", str(recipe), "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert result["ok"]
    assert result["status"] == "measured"
    assert result["calibration"]["machine"] == machine("cpu").model_dump()
    assert len(list(kept.glob("*.json"))) == 1
    parts = result["duration"]["parts"]
    assert set(parts) >= {"start", "load", "evaluation before", "training", "evaluation after"}
    assert all(part["low"] <= part["likely"] <= part["high"] for part in parts.values())
    assert result["duration"]["measured"] == result["calibration"]["date"]
    left = {path.name for path in recipe.parent.iterdir()}
    assert left == {"recipe.toml", "rows.jsonl"}


def test_what_was_measured_is_shown(recipe: Path, kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["calibrate", str(recipe)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Measured {machine('cpu').name} with ")
    assert "tokens/s" in out
    assert f"A build of {recipe} takes" in out


def test_a_busy_machine_is_said_to_be(kept: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = ["train.steps=0"]
    monkeypatch.setattr("os.getloadavg", lambda: (99.0, 99.0, 99.0))
    assert "FTC872" in {finding.code for finding in calibrate(recipe, set=wrong).findings}
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 99.0, 99.0))
    assert "FTC872" not in {finding.code for finding in calibrate(recipe, set=wrong).findings}


def test_a_wrong_recipe_is_not_measured(recipe: Path, kept: Path) -> None:
    assert run(["calibrate", str(recipe), "--set", "train.steps=0"]) == 1
    assert not kept.exists()


def test_what_a_killed_measurement_leaves_goes_with_the_cache(
    recipe: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places, before = [], sorted(recipe.parent.iterdir())

    def measure(_plan: Plan, _step: TrainingStep, job: Job, _tell: object) -> None:
        places.append(job.run)
        assert (job.run / "plan.json").is_file()
        assert sorted(recipe.parent.iterdir()) == before
        raise KeyboardInterrupt

    monkeypatch.setattr(calibration, "calibrate", measure)
    with pytest.raises(KeyboardInterrupt):
        calibrate(recipe)
    assert places[0].parent.parent == cache_root() / STAGING  # which the next use of the cache sweeps
    assert not places[0].exists()


@pytest.mark.slow
def test_without_a_recipe_a_small_model_is_measured(kept: Path) -> None:
    result = calibrate()
    assert result.ok, result.findings
    assert result.calibration is not None
    assert result.duration is None
    sizes = {sample.tokens for sample in result.calibration.samples if sample.kind == "training"}
    assert len(sizes) == 3
