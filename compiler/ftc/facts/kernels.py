"""Kernels and compilers that are installed beside PyTorch, found without importing any of them."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from shutil import which

INSTALL = "pip install liger-kernel"
TABLE = "MODEL_TYPE_TO_APPLY_LIGER_FN"
COMPILERS = ("g++", "clang++", "c++")


@dataclass(frozen=True, slots=True)
class Kernels:
    """What could take the place of PyTorch's own kernels.

    `liger` has the model types that Liger's kernels are made for; None where it is not installed. `compiler`
    is the C++ compiler that `torch.compile` would call on the CPU; None where there is none.
    """

    liger: frozenset[str] | None = None
    compiler: str | None = None

    def for_model(self, model_type: str) -> tuple[str, str]:
        """`liger` or `none` for a model on a GPU, with the reason."""
        if self.liger is None:
            return "none", "liger-kernel is not installed"
        if model_type not in self.liger:
            return "none", f"the installed liger-kernel has no kernels for {model_type or 'this model'}"
        return (
            "liger",
            f"liger-kernel is installed and has kernels for {model_type}: faster, with less memory",
        )


NO_KERNELS = Kernels()


def find_kernels() -> Kernels:
    """What is installed here."""
    spec = find_spec("liger_kernel")
    places = (spec.submodule_search_locations or ()) if spec else ()
    root = next(iter(places), None)
    stated = os.environ.get("CXX")
    compilers = (found for name in (stated, *COMPILERS) if name and (found := which(name)))
    return Kernels(model_types(Path(root)) if root else None, next(compilers, None))


def model_types(package: Path) -> frozenset[str]:
    """The model types of Liger's table, read from its source."""
    file = package / "transformers" / "monkey_patch.py"
    tree = ast.parse(file.read_text("utf-8")) if file.is_file() else ast.Module([], [])
    return frozenset(key for node in tree.body for key in _keys(node))


def _keys(node: ast.stmt) -> Iterator[str]:
    """The keys of the dictionary, if the statement assigns the table."""
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets, value = node.targets, node.value
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        targets, value = [node.target], node.value
    if any(isinstance(target, ast.Name) and target.id == TABLE for target in targets):
        found = value.keys if isinstance(value, ast.Dict) else []
        yield from (str(key.value) for key in found if isinstance(key, ast.Constant))
