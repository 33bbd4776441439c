"""Recipes without a mistake pass `ftc check` without a word: each kind of source, query and form."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from ftc.api import check
from ftc.cli.main import run
from ftc.diagnostics.text import render

ROOT = Path(__file__).parent.parent.parent
GOOD = sorted((ROOT / "tests/good_recipes").glob("*.toml"))
DATA = ROOT / "tests/bad_recipes/data"


@pytest.fixture(autouse=True)
def some_weights() -> None:
    """A file of weights without a tensor for the model of the recipes, which none of them reads."""
    (DATA / "model/model.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")


def complaints(path: Path) -> list[str]:
    """What `ftc check` says of a recipe, as people read it."""
    return [render(finding, color=False) for finding in check(path).findings]


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_good_recipe_passes(path: Path) -> None:
    assert complaints(path) == []
    assert check(path).ok


@pytest.mark.parametrize("name", ["qa.csv", "qa.parquet", "faq.jsonl", "notes.csv", "chats.jsonl"])
def test_what_init_writes_passes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).write_bytes((DATA / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    assert run(["init", name]) == 0
    (written,) = tmp_path.glob("*.toml")
    assert complaints(written) == []


def test_each_form_is_among_them() -> None:
    assert len(GOOD) >= 12
    recipes = [check(path).recipe for path in GOOD]
    forms = {name for recipe in recipes if recipe for name in recipe.render.model_fields_set}
    assert {"system", "user", "assistant", "prompt", "completion", "text", "chat"} <= forms
