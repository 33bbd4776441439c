"""The budget of the code's shape: short files, short functions, shallow nesting, no escape hatches."""

from __future__ import annotations

import ast
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[1] / "compiler" / "ftc"
FILES = sorted(ROOT.rglob("*.py"))
NESTS = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match)
TERMINAL = ROOT / "cli" / "terminal.py"


def functions(path: Path) -> list[ast.FunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def length(function: ast.FunctionDef) -> int:
    """Lines of the body, the docstring left out."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def depth(node: ast.AST, outer: int = 0) -> int:
    here = outer
    below = [here]
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        chained = isinstance(node, ast.If) and isinstance(child, ast.If) and child in node.orelse
        below.append(depth(child, here + (isinstance(child, NESTS) and not chained)))
    return max(below)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_short_and_its_functions_too(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    for function in functions(path):
        assert length(function) <= 60, f"{function.name} has {length(function)} lines"
        assert depth(function) <= 3, f"{function.name} nests {depth(function)} deep"


def test_functions_are_short_on_the_whole() -> None:
    lengths = sorted(length(function) for path in FILES for function in functions(path))
    assert median(lengths) <= 10
    assert lengths[int(len(lengths) * 0.9)] <= 25


def test_no_globals_and_no_prints() -> None:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not isinstance(node, ast.Global), f"{path.name}: global"
            printed = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
            assert not printed or path == TERMINAL, f"{path.name}: print"
