"""The layering of docs/architecture.md, and the line between compiling and running, read from the imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "compiler"

LAYERS: tuple[tuple[str, ...], ...] = (
    ("ftc.diagnostics", "ftc.recipe.base"),
    ("ftc.plan.account", "ftc.plan.steps", "ftc.plan.canonical"),
    ("ftc.tuning", "ftc.objectives", "ftc.lints", "ftc.estimate", "ftc.evaluation"),
    ("ftc.recipe",),
    ("ftc.facts",),
    ("ftc.estimate",),
    ("ftc.data",),
    ("ftc.plan",),
    ("ftc.runtime", "ftc.launch", "ftc.artifact"),
    ("ftc.estimate.abstract", "ftc.forecasting"),
    ("ftc.api", "ftc.export", "ftc.importing", "ftc.jobs", "ftc.sweeping"),
    ("ftc.cli", "ftc.report", "ftc.reference", "ftc.__main__"),
)
ABSTRACT = "ftc.estimate.abstract"
TRAINING = {"torch", "transformers", "trl", "peft", "datasets", "accelerate"}
RUNTIME_READS = (
    "ftc.runtime",
    "ftc.plan.steps",
    "ftc.plan.canonical",
    "ftc.recipe.base",
    "ftc.evaluation",
    "ftc.tuning.modules",
    "ftc.tuning.new_tokens",
    "ftc.tuning.optimizers",
    "ftc.diagnostics",
    "ftc.artifact",
    "ftc.facts.file_list",
)


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            nested = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else node.module for name in nested)


def layer(module: str) -> int:
    """The number of the layer whose longest prefix fits the module."""
    fitting = [
        (len(prefix), number)
        for number, prefixes in enumerate(LAYERS)
        for prefix in prefixes
        if module == prefix or module.startswith(prefix + ".")
    ]
    assert fitting, f"{module} belongs to no layer"
    return max(fitting)[1]


@pytest.mark.parametrize("module", [name for name in MODULES if name != "ftc"])
def test_a_layer_imports_only_itself_and_lower_ones(module: str) -> None:
    for imported in imports(MODULES[module]):
        if imported.startswith("ftc."):
            assert layer(imported) <= layer(module), f"{module} imports {imported}, which is above it"


def test_only_the_runtime_and_its_abstract_run_import_what_trains() -> None:
    outside = {
        (module, name)
        for module, path in MODULES.items()
        if not module.startswith(("ftc.runtime", ABSTRACT))
        for name in imports(path)
        if name.split(".")[0] in TRAINING
    }
    # The audit of the masks asks transformers' own renderer, which loads no torch.
    assert {module for module, _ in outside} <= {"ftc.data.template.chat_template"}


def test_the_abstract_run_is_a_process_of_its_own() -> None:
    for module, path in MODULES.items():
        if not module.startswith(ABSTRACT):
            assert not [name for name in imports(path) if name.startswith(ABSTRACT)], module


def test_the_runtime_reads_nothing_but_the_plan() -> None:
    for module, path in MODULES.items():
        if module.startswith("ftc.runtime"):
            for name in imports(path):
                assert not name.startswith("ftc.") or name.startswith(RUNTIME_READS), f"{module}: {name}"


def test_pandas_is_never_imported() -> None:
    assert not [m for m, path in MODULES.items() if "pandas" in {n.split(".")[0] for n in imports(path)}]
