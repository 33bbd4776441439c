"""What a quick command must not load, seen in a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "question-routing" / "recipe.toml"
HEAVY = {
    "accelerate",
    "datasets",
    "numpy",
    "pandas",
    "peft",
    "pyarrow",
    "rich",
    "torch",
    "transformers",
    "trl",
}
PROBE = """
import json, sys
from ftc.cli.main import run
code = run(sys.argv[1:])
print(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]), file=sys.stderr)
"""


def loaded(*arguments: str | Path) -> tuple[int, set[str]]:
    """The exit code of a command and the top-level packages that it loaded."""
    command = [sys.executable, "-c", PROBE, *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    code, packages = json.loads(ran.stderr.splitlines()[-1])
    return code, set(packages)


@pytest.mark.parametrize(
    "arguments", [("--help",), ("--version",), ("explain", "FTC101"), ("build", "--help")]
)
def test_answers_about_ftc_itself_load_next_to_nothing(arguments: tuple[str, ...]) -> None:
    code, packages = loaded(*arguments)
    assert code == 0
    assert not packages & (HEAVY | {"pydantic", "duckdb", "jinja2", "tokenizers"})


@pytest.mark.parametrize("arguments", [("schema",), ("check", EXAMPLE), ("check", "--json", EXAMPLE)])
def test_checking_loads_nothing_that_trains(arguments: tuple[str | Path, ...]) -> None:
    code, packages = loaded(*arguments)
    assert "pydantic" in packages
    assert not packages & HEAVY
    assert code in (0, 1)


FORMS = ("ftc.tuning.boft", "ftc.tuning.qlora", "ftc.tuning.prompt")
LATER = ("ftc.plan.steps.plan", "ftc.plan.steps.evaluation", "ftc.plan.steps.rows", "ftc.plan.account")


def test_checking_loads_only_the_forms_and_steps_that_the_recipe_meets() -> None:
    probe = (
        "import json, sys; from ftc.cli.main import run; code = run(sys.argv[1:]); "
        "print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", probe, "check", str(EXAMPLE)],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    code, modules = json.loads(ran.stderr.splitlines()[-1])
    assert code == 0
    assert "ftc.tuning.lora" in modules
    assert not set(modules) & {*FORMS, *LATER, "ftc.evaluation.harness", "ftc.facts.rewards"}


def test_checking_a_wrong_recipe_is_no_different(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(EXAMPLE.read_text(encoding="utf-8").replace("steps =", "stpes ="), encoding="utf-8")
    code, packages = loaded("check", recipe)
    assert code == 1
    assert not packages & HEAVY
