"""The recipe whose result another one starts from: where its file is, and circles of such recipes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ftc.diagnostics import Finding
from ftc.recipe.files import read_source, shown_name
from ftc.recipe.layers import Key, Origins
from ftc.recipe.model import BaseRecipe, Recipe

DEFAULT = "recipe.toml"
KEY: Key = ("model", "base", "recipe")
REWARDS: Key = ("train", "objective", "rewards")


def base_recipe(base: BaseRecipe, origins: Origins) -> Path:
    """The file of the recipe that `model.base` names; in a directory it is `recipe.toml`."""
    return _file(base.recipe, KEY, origins)


def _file(named: str, key: Key, origins: Origins) -> Path:
    path = origins.directory(*key) / Path(named).expanduser()
    short = Path(os.path.normpath(path))
    if short.resolve() == path.resolve():  # not where a link stands before `..`
        path = short
    return path / DEFAULT if path.is_dir() else path


def following(recipe: Recipe, origins: Origins, above: Sequence[Path]) -> Path | Finding | None:
    """The file of the recipe that this one starts from, or why it cannot be read; None where there is none.

    `above` are the files of the recipes that led here, this one's own last.
    """
    base = recipe.model.base
    if not isinstance(base, BaseRecipe):
        return None
    return _readable(base.recipe, KEY, origins, above)


def scoring(
    recipe: Recipe, origins: Origins, above: Sequence[Path]
) -> tuple[tuple[Path, ...], list[Finding]]:
    """The files of the recipes whose reward models score answers, and why some cannot be read."""
    rewards = enumerate(getattr(recipe.train.objective, "rewards", ()))
    named = [(getattr(reward, "recipe", None), (*REWARDS, number, "recipe")) for number, reward in rewards]
    found = [_readable(name, key, origins, above) for name, key in named if name is not None]
    wrong = [one for one in found if isinstance(one, Finding)]
    return tuple(one for one in found if isinstance(one, Path)), wrong


def _readable(named: str, key: Key, origins: Origins, above: Sequence[Path]) -> Path | Finding:
    path = _file(named, key, origins)
    if path.resolve() in [one.resolve() for one in above]:
        return _circle([*above, path], key, origins)
    source = read_source(path)
    if not isinstance(source, Finding) or source.span is not None:
        return path
    notes = ("the path is relative to the file in which it stands",)
    return Finding("FTC580", source.message, origins.value(*key), help=source.help, notes=notes)


def _circle(files: Sequence[Path], key: Key, origins: Origins) -> Finding:
    start = [path.resolve() for path in files].index(files[-1].resolve())
    names = [shown_name(path) for path in files[start:]]
    message = "the base recipes go in a circle" if len(names) > 2 else "the recipe is its own base"
    if key != KEY:
        message = "the recipe needs its own result to score answers"
    help_line = 'let one of them start from a model: base = "HuggingFaceTB/SmolLM2-135M-Instruct"'
    if key != KEY:
        help_line = 'name a recipe of its own, which trains objective = "reward" on pairs'
    return Finding("FTC581", message, origins.value(*key), help=(help_line,), notes=(" → ".join(names),))
