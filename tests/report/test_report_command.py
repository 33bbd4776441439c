"""`ftc report`: where pages go, and what is said where there is none."""

from __future__ import annotations

import json
import shutil
import webbrowser
from pathlib import Path

import pytest

from ftc.cli.main import run
from ftc.jobs.verifying import verify_run
from ftc.report.write import report
from report_pages import Pages


def call(*arguments: str | Path) -> int:
    return run([str(argument) for argument in arguments])


def test_the_page_of_a_recipe_is_beside_it(pages: Pages, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("report", pages.recipe, "--json") == 0
    (told,) = json.loads(capsys.readouterr().out)["results"]
    page = pages.recipe.with_suffix(".html")
    assert (told["kind"], told["page"], told["bytes"]) == ("plan", str(page), len(pages.plan))
    assert page.read_bytes() == pages.plan


def test_the_page_of_a_run_is_its_own(
    pages: Pages, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: bool(shown.append(url)) or True)
    assert call("report", pages.run, "--open") == 0
    assert shown == [(pages.run / "report.html").as_uri()]
    assert "report.html" in capsys.readouterr().out
    out = tmp_path / "page.html"
    assert call("report", pages.run, "--out", out) == 0
    assert out.read_bytes() == pages.run_page


def test_a_run_without_a_page_has_it_beside_it(pages: Pages, tmp_path: Path) -> None:
    old = tmp_path / "4f1c"
    shutil.copytree(pages.run, old)
    for name in ("report.html", "data/base_config.json", "data/lints.json"):
        (old / name).unlink()
    made = report(old, None)
    assert made.page == tmp_path / "4f1c.report.html"
    text = made.page.read_text()
    assert "this run does not keep its base model" in text
    assert sorted(path.name for path in old.iterdir()) == sorted(
        path.name for path in pages.run.iterdir() if path.name != "report.html"
    )


def test_what_has_no_page_says_why(pages: Pages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    partial = tmp_path / "4f1c.partial"
    shutil.copytree(pages.run, partial)
    for name in ("eval.json", "report.html"):
        (partial / name).unlink()
    (tmp_path / "empty").mkdir()
    plan = tmp_path / "plan.json"
    shutil.copyfile(pages.run / "plan.json", plan)
    said = {
        path: [(one.code, one.message) for one in report(path, None).findings]
        for path in (partial, tmp_path / "empty", plan, tmp_path / "none.toml")
    }
    assert [found[0][0] for found in said.values()] == ["FTC765"] * 4
    assert said[partial][0][1] == "no page can be made: the run is not whole yet"
    assert said[plan][0][1] == "no page can be made: this is a plan without its rows"
    (unwritten,) = report(pages.run, tmp_path / "no" / "such" / "page.html").findings
    assert unwritten.code == "FTC766"
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    monkeypatch.chdir(tmp_path)
    assert call("report", pages.run, "--open") == 0
    assert call("report") == 2
    assert call("report", pages.run, "--set", "train.steps=1") == 2


def test_a_wrong_recipe_is_said_to_be_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[model]\nbas = 1\n")
    assert call("report", recipe) == 1
    assert "FTC102" in capsys.readouterr().err
    assert not recipe.with_suffix(".html").exists()


def test_a_browser_that_is_not_there_is_a_warning(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    from ftc.report.write import show

    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    (found,) = show(pages.run / "report.html")
    assert (found.code, found.severity.value) == ("FTC767", "warning")


def test_what_was_measured_later_is_on_the_page_beside_the_run(pages: Pages, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "pairs" / pages.run.name
    shutil.copytree(pages.run, run)
    for name, rows in (("0123456789abcdef", 7), ("fedcba9876543210.partial", 5)):
        later = run.with_name(f"{run.name}.evals") / name
        shutil.copytree(run / "answers", later / "answers")
        (later / "answers" / "held_out.jsonl").rename(later / "answers" / "more.jsonl")
        told = json.loads((run / "eval.json").read_text())
        told["suites"][0] |= {"suite": "more", "rows": rows}
        (later / "eval.json").write_text(json.dumps(told))
    made = report(run, None)
    assert made.page == run.with_name(f"{run.name}.report.html")
    text = made.page.read_text()
    assert "<h3>more (7), measured later</h3>" in text
    assert "more (5)" not in text, "it is not whole"
    assert "<h3>more (12)</h3>" in text, "its answers"
    assert text.count("<h3>held-out rows (12)</h3>") == 2
    assert verify_run(run).findings == verify_run(pages.run).findings, "it is as sealed as before"
