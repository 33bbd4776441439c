"""A build from plan to whole run directory, through the real runtime in its own process."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ftc.artifact import build as build_module
from ftc.artifact.build import Build, Execution, execute
from ftc.artifact.inputs_lock import lock_text
from ftc.artifact.lock import exclusive
from ftc.artifact.run_directory import changed_since, manifest_text
from ftc.diagnostics import Finding, Severity
from ftc.plan.account import LedgerLine
from ftc.plan.canonical import canonical_bytes, digest
from ftc.plan.steps import Choice, FileDigest, Plan
from ftc.runtime.events import Event, Saved, Step
from tiny_plan import LABELS, Tiny, write_tiny

RECIPE = "# what a person wrote\n[model]\nbase = 'models/tiny'\n"


def make(tiny: Tiny, runs: Path, plan: Plan) -> Build:
    return Build(
        plan=plan,
        plan_bytes=canonical_bytes(plan),
        recipe_text=RECIPE,
        data=tiny.data,
        model=lambda: tiny.model,
        runs=runs,
        name=plan.name,
        digest=digest(plan),
    )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Tiny:
    return write_tiny(tmp_path_factory.mktemp("tiny"), tiny_model)


@pytest.fixture(scope="module")
def plan(tiny: Tiny) -> Plan:
    plan = tiny.plan(steps=6, save_every=2, metrics=("loss", "label_accuracy"), labels=LABELS)
    choice = Choice(key="train.epochs", value=3.0, reason="usual | for fine-tuning")
    return plan.model_copy(update={"choices": (choice,)})


@pytest.fixture(scope="module")
def built(tiny: Tiny, plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Execution:
    done = execute(make(tiny, tmp_path_factory.mktemp("runs"), plan), lambda _: None)
    assert done.status == "done", done
    return done


def files(directory: Path) -> dict[str, bytes]:
    found = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in found}


def test_layout(built: Execution, plan: Plan, tiny: Tiny):
    assert built.run.name == digest(plan)[:16]
    assert built.run.parent.name == "tiny"
    assert not built.partial.exists()
    assert [p.name for p in built.run.parent.iterdir()] == [built.run.name]
    assert sorted(files(built.run)) == sorted(
        [
            "DATA_CARD.md",
            "MANIFEST.sha256",
            "BUILD.sha256",
            "provenance.json",
            "README.md",
            "report.html",
            "answers/held_out.jsonl",
            "build.log",
            "environment.json",
            "eval.json",
            "metrics.jsonl",
            "plan.json",
            "recipe.lock",
            "recipe.toml",
            "timing.json",
            "training.json",
            "data/croissant.json",
            "data/ledger.json",
            *(f"data/{s.file.name}" for part in (tiny.train, tiny.eval) for s in part.shards),
            "model/adapter_config.json",
            "model/adapter_model.safetensors",
            "model/tokenizer.json",
            "model/tokenizer_config.json",
        ]
    )
    assert (built.run / "plan.json").read_bytes() == canonical_bytes(plan)
    assert (built.run / "recipe.toml").read_text() == RECIPE
    assert built.evaluation["after"]["loss"] < built.evaluation["before"]["loss"]


def test_sha256sum_accepts_the_manifest(built: Execution):
    command = ["sha256sum", "--check", "--strict", "--quiet", "MANIFEST.sha256"]
    done = subprocess.run(command, cwd=built.run, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    listed = [line.partition("  ")[2] for line in manifest_text(built.run).splitlines()[1:]]
    assert listed == sorted(listed)
    assert set(files(built.run)) - set(listed) == {
        "MANIFEST.sha256",
        "BUILD.sha256",
        "timing.json",
        "build.log",
    }


def test_odd_names_in_the_manifest(tmp_path: Path):
    for name in ("a b", "back\\slash", "new\nline", "ümlaut"):
        (tmp_path / name).write_text(name)
    (tmp_path / "MANIFEST.sha256").write_text(manifest_text(tmp_path), encoding="utf-8")
    command = ["sha256sum", "-c", "MANIFEST.sha256"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    assert changed_since(tmp_path) == ()
    (tmp_path / "new\nline").write_text("longer than before")
    assert changed_since(tmp_path) == ("new\nline",)
    lines = (tmp_path / "MANIFEST.sha256").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "MANIFEST.sha256").write_text("".join(lines[:-1]), encoding="utf-8")
    assert changed_since(tmp_path) == ("MANIFEST.sha256",)


def test_up_to_date_needs_no_model(built: Execution, tiny: Tiny, plan: Plan, monkeypatch):
    def forbidden(*_):
        raise AssertionError

    monkeypatch.setattr(build_module, "launch", forbidden)
    runs = built.run.parent.parent
    again = execute(Build(**{**vars(make(tiny, runs, plan)), "model": forbidden}), forbidden)
    assert (again.status, again.run) == ("up to date", built.run)
    assert again.evaluation == built.evaluation


def test_elsewhere_the_same_bytes(built: Execution, tiny: Tiny, plan: Plan, tmp_path):
    """Another directory, a stop on the way: every listed file is the same."""
    runs = tmp_path / "other"

    def interrupt(event: Event) -> None:
        if isinstance(event, Step) and event.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    stopped = execute(make(tiny, runs, plan), interrupt)
    assert stopped.status == "stopped"
    assert stopped.run is None
    assert [f.code for f in stopped.findings] == ["FTC704"]
    assert stopped.partial.is_dir()
    done = execute(make(tiny, runs, plan), lambda _: None)
    assert done.status == "done"
    first, second = files(built.run), files(done.run)
    for unlisted in ("timing.json", "build.log", "BUILD.sha256"):
        del first[unlisted], second[unlisted]
    assert first == second


def test_a_changed_run_is_set_aside(built: Execution, tiny: Tiny, plan: Plan, tmp_path, monkeypatch):
    runs = tmp_path / "runs"
    run = runs / "tiny" / built.run.name
    shutil.copytree(built.run, run)
    (run / "model/adapter_config.json").unlink()
    stand_in(monkeypatch)
    done = execute(make(tiny, runs, plan), lambda _: None)
    assert done.status == "done"
    assert [(f.code, f.severity) for f in done.findings] == [("FTC709", Severity.WARNING)]
    assert "adapter_config.json" in done.findings[0].message
    assert (runs / "tiny" / f"{run.name}.changed-1").is_dir()


def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the runtime in this process: quicker where the process itself is not at issue."""
    from ftc.launch.local import Outcome
    from ftc.runtime.main import run
    from ftc.runtime.stop import Stop

    def launch(job, on_event):
        events: list[Event] = []

        def emit(event: Event) -> None:
            events.append(event)
            on_event(event)

        with job.log.open("a") as log:
            code = run(job, emit, Stop(), log)
        return Outcome("failed" if code else "done", 0, events[-1] if code else None, code, job.log)

    monkeypatch.setattr(build_module, "launch", launch)


def test_hub_reads_the_card(built: Execution):
    from huggingface_hub import ModelCard

    card = ModelCard.load(built.run / "README.md")
    assert card.data.library_name == "peft"
    assert card.data.pipeline_tag == "text-generation"
    assert {"ftc", "trl", "sft", "lora"} <= set(card.data.tags)
    for part in (
        "trained on",
        "held out",
        "loss per trained token",
        "usual \\| for fine-tuning",
        "recipe.lock",
    ):
        assert part in card.text


def test_the_cards_lines_load_the_model(built: Execution, tiny: Tiny, tmp_path):
    """The Python in README.md, run as it stands where the recipe's base is."""
    text = (built.run / "README.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    shutil.copytree(built.run / "model", tmp_path / "model")
    (tmp_path / "models").mkdir()
    (tmp_path / "models/tiny").symlink_to(tiny.model)
    code += "print(type(model).__name__, tokenizer.eos_token)\n"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout == "PeftModelForCausalLM <|im_end|>\n", done.stderr


def test_recipe_lock(built: Execution, plan: Plan, tiny: Tiny):
    lock = tomllib.loads((built.run / "recipe.lock").read_text())
    assert "ftc" not in lock
    assert {"duckdb", "pyarrow", "python"} <= set(lock["packages"])
    assert lock["model"]["location"] == "models/tiny"
    weights = tiny.model_step().weights[0]
    assert lock["model"]["files"]["model.safetensors"] == f"sha256:{weights.sha256}"
    odd = FileDigest(name='da"ta/ü 1.jsonl', bytes=1, sha256="a" * 64)
    source = plan.sources[0].model_copy(update={"files": (odd,)})
    other = tomllib.loads(lock_text(plan.model_copy(update={"sources": (source,)})))
    assert other["sources"]["t"]["files"] == {odd.name: "sha256:" + "a" * 64}


def test_running_elsewhere(tiny: Tiny, plan: Plan, tmp_path):
    work = make(tiny, tmp_path, plan)
    work.directory.complete.parent.mkdir(parents=True)
    with exclusive(work.directory.lock):
        busy = execute(work, lambda _: None)
    assert busy.status == "failed"
    assert [f.code for f in busy.findings] == ["FTC707"]
    assert str(os.getpid()) in busy.findings[0].message


def test_no_model(tiny: Tiny, plan: Plan, tmp_path):
    finding = Finding("FTC401", "gone")
    work = Build(**{**vars(make(tiny, tmp_path, plan)), "model": lambda: finding})
    done = execute(work, lambda _: None)
    assert (done.status, done.run, done.findings) == ("failed", None, (finding,))


def test_runs_is_a_file(tiny: Tiny, plan: Plan, tmp_path):
    (tmp_path / "runs").write_text("not a directory")
    done = execute(make(tiny, tmp_path / "runs", plan), lambda _: None)
    assert (done.status, [f.code for f in done.findings]) == ("failed", ["FTC701"])
    assert str(tmp_path / "runs") in done.findings[0].place


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, "FTC702"), (errno.EACCES, "FTC701"), (errno.EROFS, "FTC701")]
)
@pytest.mark.parametrize("name", ["plan.json", "recipe.lock", "README.md", "MANIFEST.sha256"])
def test_a_write_that_fails(name, number, code, request, tmp_path):
    """Whatever cannot be written, no directory stands where a whole run would."""
    tiny, plan = request.getfixturevalue("tiny"), request.getfixturevalue("plan")
    monkeypatch = request.getfixturevalue("monkeypatch")
    from ftc.artifact import files as files_module

    whole = files_module.whole_file

    def failing(path: Path):
        if path.name == name:
            raise OSError(number, os.strerror(number), str(path))
        return whole(path)

    def trained(job, on_event):
        from ftc.launch.local import Outcome

        (job.run / "eval.json").write_text(json.dumps({"before": {}, "after": {}, "suites": []}))
        return Outcome("done", 1, None, 0, job.log)

    monkeypatch.setattr(files_module, "whole_file", failing)
    monkeypatch.setattr(build_module, "launch", trained)
    done = execute(make(tiny, tmp_path / "runs", plan), lambda _: None)
    assert (done.status, done.run, [f.code for f in done.findings]) == ("failed", None, [code])
    assert not make(tiny, tmp_path / "runs", plan).directory.complete.exists()


def test_failure_of_the_runtime(tiny: Tiny, plan: Plan, tmp_path, monkeypatch):
    stand_in(monkeypatch)
    step = plan.model.model_copy(update={"config_sha256": "0" * 64})
    other = plan.model_copy(update={"model": step})
    done = execute(make(tiny, tmp_path, other), lambda _: None)
    assert (done.status, [f.code for f in done.findings]) == ("failed", ["FTC706"])
    assert "config.json" in done.findings[0].message


def test_the_ledger_in_the_card(plan: Plan):
    from ftc.artifact.cards.model_card import readme_text

    line = LedgerLine(fate="too_long", reason="more than 512 tokens", rows=2, first_ids=("a", "b"))
    ledger = plan.data.ledger.model_copy(update={"lines": (line,), "read": plan.data.ledger.read + 2})
    data = plan.data.model_copy(update={"ledger": ledger})
    text = readme_text(plan.model_copy(update={"data": data}), {"before": {}, "after": {}, "suites": []})
    assert "| too long | 2 | more than 512 tokens |" in text
    assert "nothing was measured" in text


@pytest.mark.parametrize(
    ("kind", "location", "revision", "lines"),
    [
        ("hub", "org/m", "abc", ["AutoModelForCausalLM.from_pretrained('org/m'", "revision='abc'"]),
        ("directory", "../m", None, ["AutoModelForCausalLM.from_pretrained('../m'"]),
        ("gguf", "d/m.gguf", None, ["gguf_file='m.gguf'", "from_pretrained('d'", "GgufConfig"]),
        ("gguf", "package://p/x/m.gguf", None, ["files('p') / 'x'", "from importlib.resources"]),
    ],
)
def test_loading_lines_by_kind_of_base(kind, location, revision, lines, plan: Plan):
    from ftc.artifact.cards.loading import loading

    step = plan.model.model_copy(update={"kind": kind, "location": location, "revision": revision})
    code = loading(plan.model_copy(update={"model": step}))
    compile(code, "README.md", "exec")
    assert all(line in code for line in lines), code
    assert len([line for line in code.splitlines() if line and " import " not in line]) == 3


def test_events_reach_the_listener(tiny: Tiny, plan: Plan, tmp_path, monkeypatch):
    stand_in(monkeypatch)
    heard: list[Event] = []
    execute(make(tiny, tmp_path, plan), heard.append)
    saved = [event for event in heard if isinstance(event, Saved)]
    assert "adapter_model.safetensors" in saved[0].files
