"""Builds from recipe to run directory on a model of random weights: the same bytes, resumed, up to date."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from crashes import launch_here

import ftc
from ftc.jobs.verifying import Rebuild, verify_run
from ftc.runtime.events import Event, Step

WORDS = ["fox", "dog", "country", "capital"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A directory with a recipe for chats whose answer follows from the question."""
    directory = tmp_path_factory.mktemp("project")
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"the {WORDS[i % 4]} number {i}?"},
                {"role": "assistant", "content": WORDS[i % 4]},
            ]
        }
        for i in range(64)
    ]
    (directory / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (directory / "recipe.toml").write_text(
        f'name = "chats"\n[model]\nbase = "{tiny_model}"\n[data]\nsources.chats = "chats.jsonl"\n'
        'split = { eval = 8 }\n[lints]\nsmall_eval = "allow"\n'
        "[train]\nsteps = 18\nbatch = 8\nsave_every = 3\nlearning_rate = 1e-2\n",
        encoding="utf-8",
    )
    return directory


def manifest(run: Path | None) -> str:
    assert run is not None
    return (run / "MANIFEST.sha256").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def built(project: Path) -> ftc.BuildResult:
    result = ftc.build(project / "recipe.toml", runs=project / "first")
    assert result.findings == ()
    assert result.status == "built"
    return result


def test_the_run_has_all_its_parts(built: ftc.BuildResult) -> None:
    assert built.run is not None
    assert built.digest is not None
    assert built.run.name == built.digest[:16]
    names = {path.relative_to(built.run).as_posix() for path in built.run.rglob("*") if path.is_file()}
    assert {
        "plan.json",
        "recipe.toml",
        "recipe.lock",
        "environment.json",
        "metrics.jsonl",
        "eval.json",
        "README.md",
        "MANIFEST.sha256",
        "data/ledger.json",
        "data/dropped.parquet",
        "data/train-00000.parquet",
        "data/eval-00000.parquet",
        "model/adapter_model.safetensors",
        "model/tokenizer.json",
    } <= names
    checked = subprocess.run(
        ["sha256sum", "--check", "--quiet", "MANIFEST.sha256"],
        cwd=built.run,
        check=False,
        capture_output=True,
    )
    assert checked.returncode == 0, checked.stdout


def test_nothing_is_done_twice(project: Path, built: ftc.BuildResult) -> None:
    events: list[Event] = []
    again = ftc.build(project / "recipe.toml", runs=project / "first", on_event=events.append)
    assert (again.status, again.run, again.evaluation) == ("up to date", built.run, built.evaluation)
    assert events == []


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime in this process, where it is no matter that it has one of its own."""
    monkeypatch.setattr("ftc.artifact.build.launch", launch_here)


@pytest.mark.usefixtures("here")
def test_a_build_elsewhere_gives_the_same_bytes(project: Path, built: ftc.BuildResult) -> None:
    """As `ftc verify --rebuild` builds it: in an empty directory, by an empty cache."""
    assert built.run is not None
    found = verify_run(built.run, rebuild=Rebuild(inputs=project, keep=project / "second"))
    assert found.findings == ()
    assert [check.title for check in found.checks][-1] == "rebuilt"
    (again,) = (project / "second" / "runs" / "chats").glob("[0-9a-f]*")
    assert again.name == built.run.name
    assert manifest(again) == manifest(built.run)


def start(project: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ftc", "build", "recipe.toml", "--runs", "stopped"]
    return subprocess.Popen(
        command, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def until(process: subprocess.Popen[str], *words: str) -> str:
    """Follow a build until a line has one of some words; the line."""
    assert process.stderr is not None
    return next(line for line in process.stderr if any(word in line for word in words))


@pytest.mark.usefixtures("here")
def test_a_build_that_is_killed_and_stopped_goes_on_and_gives_the_same_bytes(
    project: Path, built: ftc.BuildResult
) -> None:
    """First `ftc` alone is killed: its training process ends by itself, and the next build waits for that."""
    with start(project) as first:
        until(first, "checkpoint at step 3")
        first.kill()
    process = start(project)
    assert process.stderr is not None
    line = until(process, "waiting", "training")
    if "waiting" in line:
        assert "of a build that was killed" in line
        line = until(process, "training")
    assert int(line.split("from step ")[1].split(")")[0]) >= 3
    until(process, "  step")
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    code = process.wait(timeout=120)
    if code == 0:
        pytest.fail("the build was over before it could be stopped")
    assert code == 130, rest
    assert "FTC704" in rest
    assert "Traceback" not in rest
    runs = project / "stopped" / "chats"
    assert [path.name for path in runs.glob("*.partial")]
    assert built.run is not None
    assert not (runs / built.run.name).exists()

    steps: list[int] = []
    resumed = ftc.build(
        project / "recipe.toml",
        runs=project / "stopped",
        on_event=lambda event: steps.append(event.step) if isinstance(event, Step) else None,
    )
    assert resumed.status == "built"
    assert not steps or steps[0] > 3
    assert manifest(resumed.run) == manifest(built.run)


def test_another_learning_rate_reads_no_data(project: Path, built: ftc.BuildResult) -> None:
    stages: list[str] = []
    other = ftc.plan(
        project / "recipe.toml",
        set=["train.learning_rate=1e-3"],
        progress=lambda stage, *_: stages.append(stage),
    )
    assert other.ok
    assert stages == []
    assert other.digest != built.digest
    assert other.plan is not None
    assert built.plan is not None
    assert other.plan.data == built.plan.data


def test_a_changed_row_changes_the_plan_and_back(
    project: Path, built: ftc.BuildResult, tmp_path: Path
) -> None:
    (tmp_path / "recipe.toml").write_bytes((project / "recipe.toml").read_bytes())
    rows = (project / "chats.jsonl").read_bytes()
    (tmp_path / "chats.jsonl").write_bytes(rows)
    same = ftc.plan(tmp_path / "recipe.toml")
    assert same.digest == built.digest
    (tmp_path / "chats.jsonl").write_bytes(rows.replace(b"number 7?", b"number 8?", 1))
    assert ftc.plan(tmp_path / "recipe.toml").digest != built.digest
    (tmp_path / "chats.jsonl").write_bytes(rows)
    time.sleep(0.01)
    os.utime(tmp_path / "chats.jsonl")
    assert ftc.plan(tmp_path / "recipe.toml").digest == built.digest


@pytest.mark.usefixtures("here")
def test_documents_train_every_weight(project: Path, tiny_model: Path) -> None:
    recipe = project / "documents.toml"
    (project / "documents.csv").write_text(
        "title,body\n" + "".join(f"t{i},the quick brown fox {i}\n" for i in range(40)), encoding="utf-8"
    )
    recipe.write_text(
        f'[model]\nbase = "{tiny_model}"\n[data]\nsources.documents = "documents.csv"\n'
        "query = \"select title || ': ' || body as text from documents\"\nsplit = { eval = 8 }\n"
        '[tune]\nmethod = "full"\n[train]\nsteps = 6\nbatch = 8\nlearning_rate = 1e-2\n',
        encoding="utf-8",
    )
    result = ftc.build(recipe)
    assert result.status == "built", result.findings
    assert result.run is not None
    assert result.run.parent == project / "runs" / "documents"
    assert result.evaluation is not None
    assert result.evaluation["after"]["loss"] < result.evaluation["before"]["loss"]
    assert (result.run / "model" / "model.safetensors").is_file()
    assert set(result.evaluation["after"]) == {"loss", "loss_tokens"}
