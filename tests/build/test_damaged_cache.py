"""What is damaged in the cache is made again: emptied, overwritten and lost files, and bytes that changed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

import pytest
from crashes import launch_here

import ftc
from ftc.diagnostics import Finding
from ftc.facts import file_list
from ftc.facts.cache import Cache
from ftc.facts.cache_care import verify


@pytest.fixture
def recipe(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe with a cache of its own."""
    monkeypatch.setenv("FTC_CACHE_DIR", str(tmp_path / "cache"))
    rows = [{"prompt": f"{n}?", "completion": " fox"} for n in range(20)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (tmp_path / "r.toml").write_text(
        f'[model]\nbase = "{tiny_model}"\n[data]\nsources.rows = "rows.jsonl"\npacking = true\n'
        "[data.split]\neval = 0.2\n[render]\nchat = false\n"
        "[train]\nsteps = 1\n",
        encoding="utf-8",
    )
    return tmp_path / "r.toml"


def said(findings: Iterable[Finding]) -> list[str]:
    """The codes of findings that speak of the cache and the build."""
    return [finding.code for finding in findings if finding.code.startswith("FTC7")]


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
        ("data/*/*/.files", b"[]"),
        ("data/*/*/train-00000.parquet", b"short"),
        ("source*/*/*/*.duckdb", b"junk"),
        ("source*/*/*/account.json", b""),
        ("sequences/*/*/sequences.parquet", b"short"),
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
    if pattern.startswith("source"):
        Cache().drop("data", before.data.name)
    again = ftc.plan(recipe)
    assert again.digest == before.digest
    small = pattern.startswith(("describe", "digest"))  # values, of which only time is lost
    assert said(again.findings) == ([] if small else ["FTC710"])
    assert verify(Cache()) == ()


def change_a_byte(path: Path) -> None:
    """Change one byte and nothing else of a file, its time least of all."""
    stat = path.stat()
    changed = bytearray(path.read_bytes())
    changed[len(changed) // 2] ^= 1
    path.write_bytes(changed)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.fixture
def sizes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat the files of this test as those of large data, which are not read at every use."""
    monkeypatch.setattr(file_list, "SMALL", -1)


def every_file(recipe: Path) -> list[Path]:
    cache = recipe.parent / "cache"
    skipped = ("staging", ".removing", file_list.LEASE)
    names = [p for p in sorted(cache.rglob("*")) if p.is_file() and not set(p.parts) & set(skipped)]
    kinds = {path.relative_to(cache).parts[0] for path in names}
    assert kinds >= {"columns", "data", "describe", "digest", "sequences", "sources"}
    return names


def test_no_changed_byte_of_any_file_reaches_a_plan(recipe: Path) -> None:
    os.utime(recipe.parent / "rows.jsonl", (1000, 1000))
    before = ftc.plan(recipe)
    shown = ftc.examples(recipe).examples
    for path in every_file(recipe):
        change_a_byte(path)
        if "data" not in path.relative_to(recipe.parent / "cache").parts[0]:
            Cache().drop("data", before.data.name)
        again = ftc.plan(recipe)
        assert again.digest == before.digest, path
        assert ftc.examples(recipe).examples == shown
        left = verify(Cache())
        assert {one.kind for one in left} <= {"columns"}, "what was not read is not looked at"


def test_changed_rows_are_not_shown(recipe: Path, sizes_alone: None) -> None:
    good = ftc.examples(recipe)
    assert len(good.examples) == 3
    change_a_byte(found(recipe, "data/*/*/train-00000.parquet")[0])
    again = ftc.examples(recipe)
    assert said(again.findings) == ["FTC710"]
    assert again.examples == good.examples


def test_changed_rows_are_not_trained_and_are_compiled_anew(
    recipe: Path, sizes_alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftc.artifact.build.launch", launch_here)
    before = ftc.plan(recipe)
    change_a_byte(found(recipe, "data/*/*/train-00000.parquet")[0])
    assert said(ftc.plan(recipe).findings) == [], "only the size of a large file is looked at here"
    built = ftc.build(recipe)
    assert (built.status, said(built.findings)) == ("built", ["FTC710"])
    assert built.digest == before.digest
    assert verify(Cache()) == ()
