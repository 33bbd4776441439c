"""What `ftc diff` says is made anew, held to what a plan really makes anew beside the other's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import ftc
from ftc.plan.redone import redone
from ftc.plan.steps import Plan

KEPT = {"sources": "sources", "data": "rows", "sequences": "sequences"}
"""Kinds of entries of the cache, and the stage that each is of."""

RECIPE = """
name = "r"
[model]
base = "{model}"
[data]
sources.rows = "rows.jsonl"
sources.more = "more.jsonl"
query = "select prompt, completion, n from rows where n <> 3"
split = {{ eval = 0.2 }}
max_length = 512
packing = true
[render]
chat = false
[lints]
small_eval = "allow"
[train]
epochs = 1
"""


def write_rows(path: Path, first: int, count: int) -> None:
    rows = [
        {"n": n, "prompt": f"{n}?" + " the" * (n % 9), "completion": " fox"}
        for n in range(first, first + count)
    ]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


@pytest.fixture
def recipe(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FTC_CACHE_DIR", str(tmp_path / "cache"))
    write_rows(tmp_path / "rows.jsonl", 0, 60)
    write_rows(tmp_path / "more.jsonl", 100, 20)
    path = tmp_path / "r.toml"
    path.write_text(RECIPE.format(model=tiny_model), encoding="utf-8")
    return path


def planned(recipe: Path) -> Plan:
    result = ftc.plan(recipe)
    assert result.ok, result.findings
    assert result.plan is not None
    return result.plan


def entries(recipe: Path) -> set[Path]:
    root = recipe.parent / "cache"
    return {place for kind in KEPT for place in (root / kind).glob("??/*") if place.is_dir()}


def in_text(old: str, new: str) -> Callable[[Path], None]:
    def change(recipe: Path) -> None:
        text = recipe.read_text(encoding="utf-8")
        assert text.count(old) == 1
        recipe.write_text(text.replace(old, new), encoding="utf-8")

    return change


def other_rows(recipe: Path) -> None:
    write_rows(recipe.parent / "rows.jsonl", 0, 61)


def other_unread_rows(recipe: Path) -> None:
    write_rows(recipe.parent / "more.jsonl", 100, 21)


def moved_rows(recipe: Path) -> None:
    (recipe.parent / "rows.jsonl").rename(recipe.parent / "moved.jsonl")
    in_text('"rows.jsonl"', '"moved.jsonl"')(recipe)


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        (in_text("epochs = 1", "epochs = 2"), {"training"}),
        (in_text("epochs = 1", "epochs = 1\nlearning_rate = 1e-3"), {"training"}),
        (in_text('small_eval = "allow"', 'small_eval = "warn"'), set()),
        (in_text('name = "r"', 'name = "s"'), {"training"}),
        (in_text("n <> 3", "n <> 4"), {"rows", "sequences", "training"}),
        (in_text("n <> 3", "n  <>  3"), {"rows", "sequences", "training"}),
        (in_text("eval = 0.2", "eval = 0.3"), {"rows", "sequences", "training"}),
        (in_text("max_length = 512", "max_length = 48"), {"rows", "sequences", "training"}),
        (in_text("epochs = 1", "epochs = 1\nbatch = 2"), {"sequences", "training"}),
        (in_text("packing = true", "packing = false"), {"training"}),
        (in_text("packing = true", "packing = true\nsample = 30"), {"rows", "sequences", "training"}),
        (in_text("from rows where", "from more where"), {"sources", "rows", "sequences", "training"}),
        (other_rows, {"sources", "rows", "sequences", "training"}),
        (other_unread_rows, {"rows", "sequences", "training"}),
        (moved_rows, {"sources", "rows", "sequences", "training"}),
    ],
)
def test_what_is_said_to_be_made_anew_is_made_anew(
    recipe: Path, change: Callable[[Path], None], stages: set[str]
) -> None:
    old, before = planned(recipe), entries(recipe)
    change(recipe)
    new = planned(recipe)
    said = {one.stage for one in redone(old, new)}
    assert said == stages
    made = {KEPT[place.parents[1].name] for place in entries(recipe) - before}
    assert made == said - {"training"}
    assert ("training" in said) == (ftc.diff(recipe, recipe).comparison.digests[0] != _digest(old))


def _digest(plan: Plan) -> str:
    from ftc.plan.canonical import digest

    return digest(plan)


def test_each_stage_names_what_differs(recipe: Path) -> None:
    old = planned(recipe)
    in_text("n <> 3", "n <> 4")(recipe)
    in_text("max_length = 512", "max_length = 48")(recipe)
    other_rows(recipe)
    found = {one.stage: one.because for one in redone(old, planned(recipe))}
    assert found["sources"] == ("rows",)
    assert found["rows"] == ("sources", "queries", "limits")
    assert found["sequences"][0] == "rows"
    assert {"sources", "queries", "limits", "data"} <= set(found["training"])


def test_a_source_that_is_there_already_under_the_other_query_is_kept(recipe: Path) -> None:
    old = planned(recipe)
    in_text("from rows where", "from (from rows union all from more) where")(recipe)
    found = {one.stage: one.because for one in redone(old, planned(recipe))}
    assert found["sources"] == ("more",)
