"""A run that was stopped ends with the same bytes as one that never was; `test_killed_builds` kills them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from in_process import Ran, execute

from ftc.runtime.checkpoints import newest
from ftc.runtime.events import Checkpoint, Evaluation, Phase, Step, Stopped, Warned, decode
from ftc.runtime.job import Job
from tiny_plan import Tiny

SAME = ("model/adapter_model.safetensors", "model/adapter_config.json", "metrics.jsonl", "eval.json")


def assert_same(ran: Path, whole: Path) -> None:
    for name in SAME:
        assert (ran / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.parametrize("step", [1, 5, 7])
def test_stop_and_resume(step, lora_run: Ran, lora_plan, tiny: Tiny, tmp_path):
    """Stopped within the first epoch, at its end, in the second: dropout and the row order go on."""
    run = tmp_path / "run"
    stopped = execute(tiny, lora_plan, run, lambda e: isinstance(e, Step) and e.step == step)
    assert stopped.status == 130
    assert stopped.events[-1] == Stopped(step)
    assert not (run / "model").exists()
    resumed = execute(tiny, lora_plan, run)
    assert resumed.status == 0, resumed.log
    assert [event.step for event in resumed.of(Step)] == list(range(step + 1, 9))
    assert Phase("train", f"from step {step}") in resumed.events
    assert_same(run, lora_run.directory)


def test_stop_before_training_keeps_nothing_to_repeat(lora_run: Ran, lora_plan, tiny: Tiny, tmp_path):
    run = tmp_path / "run"
    stopped = execute(tiny, lora_plan, run, lambda e: isinstance(e, Evaluation) and e.when == "before")
    assert stopped.status == 130
    resumed = execute(tiny, lora_plan, run)
    assert not [e for e in resumed.of(Phase) if (e.name, e.detail) == ("evaluate", "before")]
    assert_same(run, lora_run.directory)


def test_stop_while_evaluating_afterwards(lora_run: Ran, lora_plan, tiny: Tiny, tmp_path):
    """The last checkpoint has all steps, so only the evaluation is done again."""
    run = tmp_path / "run"
    stopped = execute(
        tiny, lora_plan, run, lambda e: isinstance(e, Phase) and (e.name, e.detail) == ("evaluate", "after")
    )
    assert stopped.events[-1] == Stopped(8)
    resumed = execute(tiny, lora_plan, run)
    assert resumed.of(Step) == []
    assert_same(run, lora_run.directory)


def test_full_weights_resume(full_run: Ran, tiny: Tiny, tmp_path):
    plan = json.loads((full_run.directory / "plan.json").read_text())
    from ftc.plan.steps import Plan

    whole = Plan.model_validate_json(json.dumps(plan))
    run = tmp_path / "run"
    execute(tiny, whole, run, lambda e: isinstance(e, Step) and e.step == 25)
    resumed = execute(tiny, whole, run)
    assert resumed.status == 0, resumed.log
    for name in ("model/model.safetensors", "model/config.json", "metrics.jsonl", "eval.json"):
        assert (run / name).read_bytes() == (full_run.directory / name).read_bytes(), name


@pytest.mark.parametrize("damage", ["cut", "missing", "unsealed", "changed"])
def test_a_damaged_checkpoint_is_passed_over(damage, lora_run: Ran, lora_plan, tiny: Tiny, tmp_path):
    run = tmp_path / "run"
    execute(tiny, lora_plan, run, lambda e: isinstance(e, Step) and e.step == 7)
    optimizer = run / "checkpoints/step-7/optimizer.pt"
    data = optimizer.read_bytes()
    match damage:
        case "cut":
            optimizer.write_bytes(data[: len(data) // 2])
        case "missing":
            optimizer.unlink()
        case "unsealed":
            (run / "checkpoints/step-7/sealed.json").unlink()
        case "changed":
            optimizer.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    resumed = execute(tiny, lora_plan, run)
    assert any("step-7" in event.message for event in resumed.of(Warned))
    assert resumed.of(Step)[0].step == 7
    assert_same(run, lora_run.directory)


def test_a_staged_checkpoint_is_never_resumed(lora_plan, tiny: Tiny, tmp_path, monkeypatch):
    """The process dies while it writes the second checkpoint: the first one is used."""
    from ftc.runtime import trainer

    run = tmp_path / "run"
    publish = trainer.checkpoints.publish

    def fail(staged: Path, checkpoints: Path, step: int, *rest: Any) -> Path:
        if step == 6:
            raise MemoryError
        return publish(staged, checkpoints, step, *rest)

    monkeypatch.setattr(trainer.checkpoints, "publish", fail)
    assert execute(tiny, lora_plan, run).status == 1
    assert newest(run / "checkpoints").step == 3


def runtime(job: Job) -> subprocess.Popen[bytes]:
    places = ["--plan", job.plan, "--data", job.data, "--model", job.model, "--run", job.run]
    command = [sys.executable, "-m", "ftc.runtime", *map(str, places), "--stop-on-eof"]
    log = (job.run / "build.log").open("ab")
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log)


def test_interrupt_and_orphan(lora_run: Ran, lora_plan, tiny: Tiny, tmp_path):
    """SIGINT stops after the step; so does the death of the process at the other end of its input."""
    run = tmp_path / "run"
    with runtime(tiny.job(lora_plan, run)) as process:
        events = []
        for line in process.stdout:
            events.append(decode(line.decode()))
            if isinstance(events[-1], Step) and events[-1].step == 2:
                process.send_signal(signal.SIGINT)
    assert process.returncode == 130
    stopped = events[-1]
    assert isinstance(stopped, Stopped)
    assert Checkpoint(stopped.step) in events
    with runtime(tiny.job(lora_plan, run)) as process:
        for line in process.stdout:
            if isinstance(decode(line.decode()), Step):
                process.stdin.close()
                break
        threading.Thread(target=process.stdout.read, daemon=True).start()
        process.wait(timeout=120)
    assert process.returncode in (130, 0)
    resumed = execute(tiny, lora_plan, run)
    assert resumed.status == 0, resumed.log
    assert_same(run, lora_run.directory)
