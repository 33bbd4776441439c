"""Distillation: a student follows a teacher of the same vocabulary, and one of another is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import ftc
from ftc.plan.canonical import canonical_bytes
from ftc.runtime.events import Checkpoint
from ftc.runtime.job import Job
from ftc.runtime.metrics import METRICS
from runtime.in_process import run_job

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """The student's architecture with other random weights, and a chat template that is none of its own."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    directory = tmp_path_factory.mktemp("teacher") / "model"
    shutil.copytree(tiny_model, directory)
    torch.manual_seed(7)
    AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tiny_model)).save_pretrained(directory)
    return directory


def planned(directory: Path, student: Path, teacher: Path, on_policy: float) -> ftc.PlanResult:
    rows = [{"prompt": f"what is the fox of {i}?", "completion": f"the lazy dog {i}"} for i in range(24)]
    (directory / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = directory / "recipe.toml"
    recipe.write_text(
        f'[model]\nbase = "{student}"\n[data]\nsources.rows = "rows.jsonl"\n'
        f"[train]\nsteps = 8\nbatch = 4\nsave_every = 3\nlearning_rate = 1e-2\n"
        f'[train.objective]\nname = "gkd"\nteacher = "{teacher}"\non_policy = {on_policy}\n'
        "max_new_tokens = 8\n",
        encoding="utf-8",
    )
    return ftc.plan(recipe)


def job_of(directory: Path, student: Path, teacher: Path, on_policy: float) -> Job:
    directory.mkdir(exist_ok=True)
    result = planned(directory, student, teacher, on_policy)
    assert result.ok, result.findings
    assert result.plan is not None
    assert result.data is not None
    (directory / "plan.json").write_bytes(canonical_bytes(result.plan))
    return Job(directory / "plan.json", result.data, student, directory / "run", teacher=teacher)


def record(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / METRICS).read_text(encoding="utf-8").splitlines()]


def test_the_student_comes_closer_to_the_teacher(tmp_path: Path, tiny_model: Path, teacher: Path) -> None:
    ran = run_job(job_of(tmp_path, tiny_model, teacher, 0.0))
    assert ran.status == 0, ran.log
    losses = [line["loss"] for line in record(ran.directory)]
    assert 0 < losses[-1] < losses[0]


def test_sampled_answers_are_the_same_after_a_stop(tmp_path: Path, tiny_model: Path, teacher: Path) -> None:
    whole = run_job(job_of(tmp_path / "whole", tiny_model, teacher, 0.5))
    assert whole.status == 0, whole.log
    job = job_of(tmp_path / "stopped", tiny_model, teacher, 0.5)
    assert run_job(job, lambda event: isinstance(event, Checkpoint)).status == 130
    again = run_job(job)
    assert again.status == 0, again.log
    assert record(again.directory) == record(whole.directory)
    files = [path / "model" / "adapter_model.safetensors" for path in (whole.directory, again.directory)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_teacher_of_another_vocabulary_is_refused(tmp_path: Path, tiny_model: Path, teacher: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(teacher, other)
    config = json.loads((other / "config.json").read_text(encoding="utf-8"))
    (other / "config.json").write_text(json.dumps(config | {"vocab_size": 400}), encoding="utf-8")
    (finding,) = planned(tmp_path, tiny_model, other, 0.5).findings
    assert finding.code == "FTC513"
    assert finding.span is not None
    assert str(other) in finding.span.source.text[finding.span.start : finding.span.end]


def test_another_teacher_is_another_plan(tmp_path: Path, tiny_model: Path, teacher: Path) -> None:
    plans = [planned(tmp_path, tiny_model, one, 0.5) for one in (teacher, tiny_model)]
    assert plans[0].digest != plans[1].digest
