"""The digest of a source, and what is said where a pinned source has changed."""

from __future__ import annotations

import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
from source_jobs import bad, good, words

ROW = '{"prompt": "p", "completion": "c"}\n'


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    for name in ("b é.jsonl", "a.jsonl", "c.jsonl"):
        (tmp_path / "data" / name).write_text(ROW + f'{{"prompt": "{name}"}}\n', encoding="utf-8")
    return tmp_path


def pinned(digest: str, path: str = "data/*.jsonl") -> str:
    return f'{{ path = "{path}", sha256 = "{digest}" }}'


def test_the_digest_of_one_file_is_its_own(here: Path) -> None:
    source = good(here, '"data/a.jsonl"')
    assert source.step.sha256 == sha256((here / "data" / "a.jsonl").read_bytes()).hexdigest()
    assert good(here, pinned(source.step.sha256, "data/a.jsonl")).step == source.step


def test_the_digest_of_several_is_that_of_the_list_of_sha256sum(here: Path) -> None:
    names = sorted(f"data/{path.name}" for path in (here / "data").iterdir())
    listed = subprocess.run(["sha256sum", *names], cwd=here, capture_output=True, check=True).stdout
    source = good(here, '"data/*.jsonl"')
    assert source.step.sha256 == sha256(listed).hexdigest()
    assert good(here, pinned(source.step.sha256)).step == source.step


def test_what_changed_is_named_where_it_was_seen_before(here: Path) -> None:
    digest = good(here, '"data/*.jsonl"').step.sha256
    good(here, pinned(digest))
    (here / "data" / "a.jsonl").write_text(ROW)
    (here / "data" / "c.jsonl").rename(here / "data" / "d.jsonl")
    finding = bad(here, pinned(digest))
    assert finding.code == "FTC216"
    assert finding.notes == ("changed: `data/a.jsonl`", "new: `data/d.jsonl`", "gone: `data/c.jsonl`")
    assert f'write sha256 = "{good(here, chr(34) + "data/*.jsonl" + chr(34)).step.sha256}"' in words(finding)
    assert finding.span is not None
    assert finding.span.source.text[finding.span.start : finding.span.end] == f'"{digest}"'


def test_another_source_is_told_from_the_pinned_one(here: Path) -> None:
    finding = bad(here, pinned("0" * 64))
    assert (finding.code, finding.notes) == ("FTC216", ())


def test_a_pin_is_64_digits(here: Path) -> None:
    from ftc.recipe.load import load_recipe

    recipe = here / "recipe.toml"
    recipe.write_text(f'[model]\nbase = "x/y"\n[data]\nsources.t = {pinned("3f0a")}\n')
    assert [finding.code for finding in load_recipe(recipe).findings] == ["FTC104"]
