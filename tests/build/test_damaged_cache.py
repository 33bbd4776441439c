"""What is damaged in the cache is made again: emptied, overwritten and lost files, and bytes that changed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import ftc


@pytest.fixture
def recipe(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe with a cache of its own."""
    monkeypatch.setenv("FTC_CACHE_DIR", str(tmp_path / "cache"))
    rows = [{"prompt": f"{n}?", "completion": " fox"} for n in range(20)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (tmp_path / "r.toml").write_text(
        f'[model]\nbase = "{tiny_model}"\n[data]\nsources.rows = "rows.jsonl"\n[render]\nchat = false\n'
        "[train]\nsteps = 1\n",
        encoding="utf-8",
    )
    return tmp_path / "r.toml"


def found(recipe: Path, pattern: str) -> list[Path]:
    paths = list((recipe.parent / "cache").glob(pattern))
    assert paths
    return paths


@pytest.mark.parametrize(
    ("pattern", "content"),
    [
        ("describe/*/*.json", b""),
        ("digest/*/*.json", b"{}"),
        ("data/*/*/step.json", b""),
        ("data/*/*/step.json", None),
        ("data/*/*/train-00000.parquet", b"short"),
        ("sources/*/*/sources.duckdb", b"junk"),
        ("sources/*/*/account.json", b""),
    ],
)
def test_what_is_damaged_is_made_again(recipe: Path, pattern: str, content: bytes | None) -> None:
    os.utime(recipe.parent / "rows.jsonl", (1000, 1000))  # old enough for its digest to be remembered
    before = ftc.plan(recipe)
    assert before.ok, before.findings
    for path in found(recipe, pattern):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
    if pattern.startswith("sources"):
        for path in found(recipe, "data/*/*/step.json"):
            path.unlink()
    again = ftc.plan(recipe)
    assert (again.findings, again.digest) == ((), before.digest)


def change_a_byte(recipe: Path) -> None:
    (path,) = found(recipe, "data/*/*/train-00000.parquet")
    changed = bytearray(path.read_bytes())
    changed[100] ^= 255
    path.write_bytes(changed)


def test_changed_rows_are_not_shown(recipe: Path) -> None:
    good = ftc.examples(recipe)
    assert len(good.examples) == 3
    change_a_byte(recipe)
    assert [finding.code for finding in ftc.examples(recipe).findings] == ["FTC708"]
    assert ftc.examples(recipe).examples == good.examples


def test_changed_rows_are_not_trained_and_are_compiled_anew(recipe: Path) -> None:
    before = ftc.plan(recipe)
    change_a_byte(recipe)
    assert [finding.code for finding in ftc.build(recipe).findings] == ["FTC706"]
    stages: list[str] = []
    again = ftc.plan(recipe, progress=lambda stage, *_: stages.append(stage))
    assert "compiling rows" in stages
    assert again.digest == before.digest
