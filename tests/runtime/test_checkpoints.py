"""Checkpoints on the disk: which one is gone on from, and why others are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftc.artifact.files import sha256
from ftc.facts.file_list import sealed
from ftc.runtime import checkpoints
from ftc.runtime.checkpoints import at, drop, newest, publish, staging
from ftc.runtime.job import Job
from ftc.runtime.suites import BEFORE, _kept


def written(directory: Path, *steps: int, plan: str = "a") -> Path:
    for step in steps:
        staged = staging(directory)
        (staged / "weights").write_bytes(bytes([step]) * 100)
        (staged / "more").mkdir()
        (staged / "more" / "state").write_bytes(b"state")
        publish(staged, directory, step, plan=plan)
    return directory


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    written(tmp_path, 1, 2, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-2", "step-3"]
    found = newest(tmp_path, plan="a")
    assert (found.directory, found.step, found.passed) == (tmp_path / "step-3", 3, ())


@pytest.mark.parametrize("name", ["weights", "more/state", "sealed.json"])
def test_a_changed_byte_anywhere_is_found_and_the_one_before_taken(tmp_path: Path, name: str) -> None:
    written(tmp_path, 1, 2)
    file = at(tmp_path, 2) / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    found = newest(tmp_path, plan="a")
    assert (found.step, [name for name, _ in found.passed]) == (1, ["step-2"])


def test_a_checkpoint_of_another_plan_is_never_gone_on_from(tmp_path: Path) -> None:
    mine, other = written(tmp_path / "mine", 1), written(tmp_path / "other", 2, plan="b")
    at(other, 2).rename(at(mine, 2))
    found = newest(mine, plan="a")
    assert (found.step, found.passed) == (1, (("step-2", "belongs to another plan"),))
    assert newest(mine, plan="b").step == 2
    drop(mine, [name for name, _ in found.passed])
    assert newest(mine).step == 1


def test_one_that_needs_a_damaged_one_is_of_no_use(tmp_path: Path) -> None:
    """Such as the best step's, whose weights may be saved in the end."""
    written(tmp_path, 1, 2)
    (at(tmp_path, 1) / "weights").write_bytes(b"")
    found = newest(tmp_path, lambda _: 1, "a")
    assert (found.directory, found.step) == (None, 0)
    assert dict(found.passed) == {"step-2": "needs that of step 1, which is damaged", "step-1": "is damaged"}


def test_a_checkpoint_is_on_the_disk_before_an_older_one_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, 1, 2)
    done: list[str] = []
    monkeypatch.setattr(
        checkpoints,
        "put_on_disk",
        lambda path, **_: done.append(f"{path.name} {len(list(tmp_path.iterdir()))}"),
    )
    written(tmp_path, 3)
    assert done == [".staging 3", f"{tmp_path.name} 3"]


def test_a_damaged_measurement_before_training_is_made_again(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text("{}", encoding="utf-8")
    job = Job(plan, tmp_path, tmp_path, tmp_path)
    assert _kept(job) is None
    job.work.mkdir()
    value = sealed(json.dumps({"plan": sha256(plan), "rows": {"held_out": [{"loss": 1.5}]}}).encode())
    (job.work / BEFORE).write_bytes(value)
    assert _kept(job) == {"plan": sha256(plan), "rows": {"held_out": [{"loss": 1.5}]}}
    (job.work / BEFORE).write_bytes(value.replace(b"1.5", b"1.4"))
    assert _kept(job) is None
    (job.work / BEFORE).write_bytes(value)
    plan.write_text("{ }", encoding="utf-8")
    assert _kept(job) is None, "of another plan"
