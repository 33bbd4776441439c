from __future__ import annotations

import json
from pathlib import Path

from ftc.recipe.schema import recipe_schema


def test_the_schema_is_printed_as_json(ftc) -> None:
    ran = ftc("schema")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out) == recipe_schema()


def test_a_written_schema_comes_with_the_line_that_names_it(ftc, tmp_path: Path) -> None:
    ran = ftc("schema", "--out", "recipe.schema.json")
    assert ran.out == (
        "Wrote recipe.schema.json. Put this line first in a recipe beside it:\n"
        "  #:schema ./recipe.schema.json\n"
    )
    text = (tmp_path / "recipe.schema.json").read_text(encoding="utf-8")
    assert json.loads(text) == recipe_schema()
    assert text == ftc("schema").out


def test_json_says_what_was_written(ftc) -> None:
    document = json.loads(ftc("schema", "-o", "s.json", "--json").out)
    assert document["results"] == [{"file": "s.json", "ok": True}]


def test_a_place_that_cannot_be_written_is_said(ftc) -> None:
    ran = ftc("schema", "-o", "missing/s.json")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err == "error: cannot write missing/s.json: No such file or directory\n"


def test_the_reference_is_written_as_pages(ftc, tmp_path: Path) -> None:
    ran = ftc("schema", "--markdown", "pages")
    written = sorted(path.name for path in (tmp_path / "pages").iterdir())
    assert (ran.code, ran.err) == (0, "")
    assert sorted(line.removeprefix("Wrote pages/") for line in ran.out.splitlines()) == written
    assert {"recipe.md", "commands.md", "diagnostics.md", "diagnostics-1xx.md"} <= set(written)
    (tmp_path / "file").touch()
    assert ftc("schema", "--markdown", "file/pages").code == 3
