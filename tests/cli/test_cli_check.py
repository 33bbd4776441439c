"""`ftc check` on real recipes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

GOOD = """\
[model]
base = "{model}"

[data]
sources.rows = "rows.jsonl"
"""
BAD = GOOD.replace("base =", "bsae =") + '\n[train]\nepochs = "three"\n'


@pytest.fixture
def recipes(tmp_path: Path, tiny_model: Path) -> Path:
    """A directory with a good recipe, a bad one, and their rows."""
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n', encoding="utf-8")
    for name, text in (("good.toml", GOOD), ("bad.toml", BAD)):
        (tmp_path / name).write_text(text.format(model=tiny_model.as_posix()), encoding="utf-8")
    return tmp_path


def test_a_good_recipe_is_ok(ftc, recipes: Path) -> None:
    ran = ftc("check", "good.toml")
    assert (ran.code, ran.out, ran.err) == (0, "ok  good.toml\n", "")
    assert ftc("check", "-q", "good.toml").out == ""


def test_every_mistake_comes_out_in_one_run(ftc, recipes: Path) -> None:
    ran = ftc("check", "good.toml", "bad.toml", "missing.toml")
    assert (ran.code, ran.err) == (1, "")
    assert ran.out.startswith("ok  good.toml\n")
    assert "error[FTC102]: unknown key `bsae` in [model]\n --> bad.toml:2:1\n" in ran.out
    assert " --> bad.toml:8:10\n" in ran.out
    assert "FTC110" in ran.out
    verdicts = [line for line in ran.out.splitlines() if line.startswith(("bad.toml", "missing.toml"))]
    assert verdicts == ["bad.toml: 2 errors", "missing.toml: 1 error"]


def test_concise_is_one_line_a_finding(ftc, recipes: Path) -> None:
    ran = ftc("check", "bad.toml", "--format", "concise")
    places = [line.split(" ", 2)[:2] for line in ran.out.splitlines()]
    assert places == [["bad.toml:2:1:", "error[FTC102]:"], ["bad.toml:8:10:", "error[FTC103]:"]]


def test_json_has_one_result_a_recipe_with_places(ftc, recipes: Path) -> None:
    ran = ftc("check", "--json", "good.toml", "bad.toml")
    assert ran.code == 1
    document = json.loads(ran.out)
    assert (document["command"], document["ok"]) == ("check", False)
    good, bad = document["results"]
    assert good == {"recipe": "good.toml", "ok": True, "findings": []}
    assert [(f["code"], f["line"], f["column"]) for f in bad["findings"]] == [
        ("FTC102", 2, 1),
        ("FTC103", 8, 10),
    ]


def test_settings_can_be_overridden(ftc, recipes: Path) -> None:
    assert ftc("check", "good.toml", "--set", "train.epochs=2", "--set", 'train.schedule="cosine"').code == 0
    ran = ftc("check", "good.toml", "--set", "train.epchs=2")
    assert ran.code == 1
    assert "epochs" in ran.out


def test_a_directory_stands_for_its_recipe(ftc, recipes: Path) -> None:
    (recipes / "recipe.toml").write_text(
        (recipes / "good.toml").read_text(encoding="utf-8"), encoding="utf-8"
    )
    assert ftc("check").out == "ok  recipe.toml\n"
    assert ftc("check", ".", "recipe.toml").out == "ok  recipe.toml\n"


def test_colour_is_for_terminals(ftc, recipes: Path) -> None:
    colored = ftc("check", "bad.toml", "--color", "always").out
    assert "\x1b[1;31merror[FTC102]\x1b[0m" in colored
    assert "\x1b" not in ftc("check", "bad.toml").out
