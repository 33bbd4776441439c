"""Suites with rows of their own for models that write no text: classes, scores, and vectors of texts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import ftc
from ftc.plan.canonical import canonical_bytes
from ftc.runtime.job import Job
from models import write_tiny_encoder
from runtime.in_process import run_job

pytestmark = pytest.mark.filterwarnings("ignore")
NAMES = {"animal": "fox", "place": "country", "thing": "what"}
CLASSES = [{"text": f"over the {NAMES[label]} {i}", "label": label} for i in range(8) for label in NAMES]
PAIRS = [{"prompt": f"w{i}", "chosen": " the fox", "rejected": " what"} for i in range(16)]
ANCHORS = [{"anchor": f"what is the capital of w{i}", "positive": f"w{i} fox"} for i in range(16)]


def planned(
    directory: Path, base: Path, rows: list[dict[str, Any]], train: str, suite: str
) -> ftc.PlanResult:
    (directory / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = directory / "recipe.toml"
    recipe.write_text(
        f'[model]\nbase = "{base}"\n[data]\nsources.rows = "rows.jsonl"\nsplit = {{ eval = 6 }}\n'
        f'[tune]\nmethod = "full"\n[train]\nsteps = 2\nbatch = 8\nlearning_rate = 1e-2\n{train}\n'
        f'[lints]\nsmall_eval = "allow"\n[[eval]]\n[[eval]]\nname = "own"\n{suite}\n',
        encoding="utf-8",
    )
    return ftc.plan(recipe)


def measured(
    result: ftc.PlanResult, directory: Path, base: Path
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The report of the suite `own`, and its rows."""
    assert result.ok, result.findings
    assert result.plan is not None
    assert result.data is not None
    data = directory / "data"
    shutil.copytree(result.data, data)
    for name, content in result.beside.items():
        data.joinpath(name).write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    (directory / "plan.json").write_bytes(canonical_bytes(result.plan))
    ran = run_job(Job(directory / "plan.json", data, base, directory / "run"))
    assert ran.status == 0, ran.log
    found = json.loads((ran.directory / "eval.json").read_text(encoding="utf-8"))
    lines = (ran.directory / "answers/own.jsonl").read_text(encoding="utf-8").splitlines()
    return next(suite for suite in found["suites"] if suite["suite"] == "own"), [*map(json.loads, lines)]


def test_a_classifier_is_measured_on_rows_of_a_suite(tmp_path: Path, tiny_model: Path) -> None:
    suite = "query = \"select 'the ' || text as text, label from rows where label <> 'thing'\"\n"
    metrics = 'metrics = ["label_accuracy", "macro_f1", "loss"]\ngates.macro_f1 = ">= 0"'
    train = 'objective = "classification"'
    result = planned(tmp_path, tiny_model, CLASSES, train, suite + metrics)
    found, rows = measured(result, tmp_path, tiny_model)
    assert len(rows) == 16
    assert {row["reference"] for row in rows} == {"animal", "place"}
    accuracy, f1, _ = found["metrics"]
    right = [row["after"]["label"] == row["reference"] for row in rows]
    assert accuracy["after"]["value"] == pytest.approx(sum(right) / 16)
    assert 0 <= f1["after"]["low"] <= f1["after"]["value"] <= f1["after"]["high"] <= 1
    assert found["gates"][0]["passed"]


def test_classes_that_were_not_trained_are_said(tmp_path: Path, tiny_model: Path) -> None:
    suite = "query = \"select text, replace(label, 'thing', 'plant') as label from rows\""
    result = planned(tmp_path, tiny_model, CLASSES, 'objective = "classification"', suite)
    (wrong,) = [one for one in result.findings if one.code == "FTC563"]
    assert "plant" in wrong.message


def test_a_reward_model_is_measured_on_rows_of_a_suite(tmp_path: Path, tiny_model: Path) -> None:
    suite = "query = \"select 'the ' || prompt as prompt, chosen, rejected from rows limit 5\""
    result = planned(tmp_path, tiny_model, PAIRS, 'objective = "reward"', suite)
    found, rows = measured(result, tmp_path, tiny_model)
    assert [one["metric"] for one in found["metrics"]] == ["preference_accuracy"]
    right = [row["after"]["columns"]["chosen"] > row["after"]["columns"]["rejected"] for row in rows]
    assert len(rows) == 5
    assert found["metrics"][0]["after"]["value"] == pytest.approx(sum(right) / 5)


def test_embeddings_are_ranked_on_rows_of_a_suite(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    write_tiny_encoder(tmp_path / "encoder")
    suite = "query = \"select 'is ' || anchor as anchor, positive from rows limit 7\"\nk = 3"
    result = planned(tmp_path, tmp_path / "encoder", ANCHORS, "", suite)
    found, rows = measured(result, tmp_path, tmp_path / "encoder")
    assert [one["metric"] for one in found["metrics"]] == ["mrr", "recall", "ndcg"]
    ids = [row["id"] for row in rows]
    for row in rows:
        assert sorted(row["after"]["columns"]["ranked"]) == sorted(ids)
        rank = row["after"]["columns"]["ranked"].index(row["id"]) + 1
        assert row["after"]["scores"]["mrr"] == pytest.approx(1 / rank if rank <= 3 else 0)


def test_rows_of_another_kind_are_said(tmp_path: Path) -> None:
    write_tiny_encoder(tmp_path / "encoder")
    suite = 'query = "select anchor as prompt, positive as reference from rows"'
    result = planned(tmp_path, tmp_path / "encoder", ANCHORS, "", suite)
    (wrong,) = [one for one in result.findings if one.code in ("FTC563", "FTC404")]
    assert wrong.span is not None
