"""Paths in a recipe stay in its project unless they are declared."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

import ftc
from ftc.cli.main import run
from ftc.recipe.load import load_recipe
from ftc.recipe.project import ALLOW, fixed, top

HEAD = '[model]\nbase = "acme/small"\n[train]\nobjective = "cpt"\n'


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a recipe in a directory of its own, and files beside the project."""
    monkeypatch.setenv(ALLOW, "")
    (tmp_path / "project" / ".git").mkdir(parents=True)
    for name in ("project/recipes", "project/data", "outside/deep"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    for name in ("project/data/rows.csv", "outside/rows.csv", "outside/deep/rows.csv"):
        (tmp_path / name).write_text("text\na\n")
    (tmp_path / "outside" / "query.sql").write_text("select text from rows")
    (tmp_path / "outside" / "metrics.py").write_text("def score(a, b): return 1.0\n")
    (tmp_path / "outside" / "base.toml").write_text("seed = 1\n")
    return tmp_path


def codes(place: Path, text: str, *overrides: str) -> list[str]:
    recipe = place / "project" / "recipes" / "recipe.toml"
    recipe.write_text(text)
    return [finding.code for finding in load_recipe(recipe, overrides).findings if finding.code == "FTC227"]


def of_source(path: str) -> str:
    return f'{HEAD}[data]\nsources.rows = "{path}"\n'


@pytest.mark.parametrize("path", ["../data/rows.csv", "rows.csv", "../data/*.csv", "../nowhere/*.csv"])
def test_paths_within_the_repository_are_free(place: Path, path: str) -> None:
    assert codes(place, of_source(path)) == []


@pytest.mark.parametrize(
    "path",
    [
        "../../outside/rows.csv",
        "/etc/passwd",
        "~/.ssh/id_ed25519",
        "../../outside/**/*.csv",
        "../../*/rows.csv",
        "/*",
    ],
)
def test_paths_out_of_the_repository_are_refused(place: Path, path: str) -> None:
    assert codes(place, of_source(path)) == ["FTC227"]
    assert codes(place, f'{HEAD}[data]\nsources.rows = {{ path = "{path}", format = "csv" }}\n') == ["FTC227"]


@pytest.mark.parametrize(
    "lines",
    [
        '[data]\nsources.rows = "../data/rows.csv"\nquery = { file = "../../outside/query.sql" }',
        '[data]\nsources.rows = "../data/rows.csv"\n[eval]\nsources.rows = "../../outside/rows.csv"',
        '[data]\nsources.rows = "../data/rows.csv"\n[[eval]]\nname = "a"\nquery = { file = "/etc/x.sql" }',
        '[data]\nsources.rows = "../data/rows.csv"\n[eval]\nmetrics = [{ python = "/x/metrics.py:score" }]',
        '[data]\nsources.rows = "../data/rows.csv"\nmix.a = { query = { file = "/etc/a.sql" }, weight = 1 }',
    ],
)
def test_every_kind_of_path_is_held_to_it(place: Path, lines: str) -> None:
    assert codes(place, HEAD + lines + "\n") == ["FTC227"]


@pytest.mark.parametrize(
    ("setting", "refused"),
    [
        ('base = "/models/small"', True),
        ('base = "../../outside"', True),
        ('base = { recipe = "../../outside/recipe.toml" }', True),
        ('base = "acme/small"', False),
        ('base = "package://x/m.gguf"', False),
        ('base = "acme/small"\nchat_template = "../../outside/chat.jinja"', True),
        ('base = "acme/small"\nchat_template = "chatml"', False),
    ],
)
def test_models_and_templates(place: Path, setting: str, refused: bool) -> None:
    text = f'[model]\n{setting}\n[data]\nsources.rows = "../data/rows.csv"\n'
    assert codes(place, text) == (["FTC227"] if refused else [])


def test_what_is_declared_or_allowed_is_free(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = of_source("../../outside/deep/rows.csv")
    assert codes(place, text + '[project]\nallow = ["../../outside/deep"]\n') == []
    assert codes(place, text + '[project]\nallow = ["../../outside/deep/rows.csv"]\n') == []
    assert codes(place, text + '[project]\nallow = ["../../outside/de"]\n') == ["FTC227"]
    monkeypatch.setenv(ALLOW, f"/nowhere:{place / 'outside'}")
    assert codes(place, text) == []


def test_what_the_command_line_gives_is_its_users_own(place: Path) -> None:
    assert codes(place, of_source("../data/rows.csv"), f"data.sources.rows={place}/outside/rows.csv") == []


def test_a_recipe_cannot_extend_what_is_elsewhere(place: Path) -> None:
    assert codes(place, 'extends = "../../outside/base.toml"\n' + of_source("../data/rows.csv")) == ["FTC227"]


def test_links_are_followed(place: Path) -> None:
    (place / "project" / "data" / "link.csv").symlink_to(place / "outside" / "rows.csv")
    (place / "project" / "folder").symlink_to(place / "outside")
    assert codes(place, of_source("../data/link.csv")) == ["FTC227"]
    assert codes(place, of_source("../folder/rows.csv")) == ["FTC227"]
    # The link is one of the files that a glob finds: seen when they are looked at.
    recipe = place / "project" / "recipes" / "recipe.toml"
    recipe.write_text(of_source("../data/*.csv"))
    (found,) = [finding for finding in ftc.check(recipe).findings if finding.code == "FTC227"]
    assert "link.csv" in found.message


def test_the_command_line_allows(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = place / "project" / "recipes" / "recipe.toml"
    recipe.write_text(of_source("../../outside/rows.csv"))
    assert run(["check", str(recipe)]) == 1
    said = capsys.readouterr()
    assert 'allow = ["../../outside"]' in said.out + said.err
    run(["check", str(recipe), "--allow", str(place / "outside")])
    said = capsys.readouterr()
    assert "FTC227" not in said.out + said.err


def test_every_command_that_plans_a_recipe_allows() -> None:
    """Those that read finished runs alone do not: `compare`, `runs`, `export`, `chat`, ..."""
    planning = {"baseline", "build", "calibrate", "check", "diff", "eval", "lock", "plan", "report", "show"}
    planning |= {"sweep", "verify"}
    for name in sorted(planning):
        module = import_module(f"ftc.cli.{name}")
        assert any(option.name == "allow" for option in module.command.params), name


def test_the_top_of_a_project(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert top(place / "project" / "recipes") == (place / "project").resolve()
    assert top(place / "outside" / "deep") == (place / "outside" / "deep").resolve()
    (place / ".git").mkdir()  # a home directory under version control is no project
    monkeypatch.setenv("HOME", str(place))
    assert top(place / "outside" / "deep") == (place / "outside" / "deep").resolve()


def test_the_fixed_part_of_a_glob() -> None:
    assert [fixed(one) for one in ("a/b.csv", "a/*/b", "*.csv", "/a/[bc]/d")] == ["a/b.csv", "a", ".", "/a"]


def test_a_recipe_that_init_writes_declares_what_lies_elsewhere(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place / "project" / "recipes")
    assert run(["init", str(place / "outside" / "rows.csv"), "-q"]) == 0
    text = Path("recipe.toml").read_text()
    assert 'allow = ["../../outside"]' in text
    assert "FTC227" not in {finding.code for finding in ftc.check("recipe.toml").findings}
    assert run(["init", "../data/rows.csv", "-q", "--force"]) == 0
    assert "[project]" not in Path("recipe.toml").read_text()
