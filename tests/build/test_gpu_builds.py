"""A plan for a GPU: the same on every machine, and not built where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

import ftc
from ftc.facts import machine


@pytest.fixture
def recipe(tmp_path: Path, tiny_model: Path) -> Path:
    rows = "".join(f'{{"prompt": "the number {i}?", "completion": "{i}"}}\n' for i in range(20))
    (tmp_path / "rows.jsonl").write_text(rows, encoding="utf-8")
    path = tmp_path / "recipe.toml"
    path.write_text(
        f'[model]\nbase = "{tiny_model}"\n[data]\nsources.rows = "rows.jsonl"\n[hardware]\ngpu = "L4"\n',
        encoding="utf-8",
    )
    return path


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "cuda_devices", lambda: 0)
    monkeypatch.setattr(machine, "AMD_DRIVER", tmp_path / "kfd")


def test_it_is_not_built_before_a_model_is_looked_at(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "ftc.facts.materialise.model_directory", lambda *_: pytest.fail("looked at the model")
    )
    result = ftc.build(recipe)
    assert result.status == "failed"
    (finding,) = [finding for finding in result.findings if finding.code == "FTC855"]
    assert finding.span is not None
    assert finding.span.place.endswith("recipe.toml:6:7")
    assert "remove `gpu` from [hardware]" in finding.help[1]


def test_the_plan_is_the_same_where_there_is_one(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = ftc.plan(recipe)
    assert here.ok
    monkeypatch.setattr(machine, "cuda_devices", lambda: 4)
    there = ftc.plan(recipe)
    assert here.digest == there.digest
    assert here.digest is not None


def test_a_stated_device_is_named_instead(recipe: Path) -> None:
    recipe.write_text(
        recipe.read_text("utf-8").replace("[hardware]\ngpu =", "[train]\ndevice =").replace('"L4"', '"cuda"'),
        encoding="utf-8",
    )
    (finding,) = [one for one in ftc.build(recipe).findings if one.code == "FTC855"]
    assert "remove `device` from [train]" in finding.help[1]
