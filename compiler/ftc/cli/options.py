"""The arguments and options that the commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec

import click

from ftc.cli.status import EXIT_CODES
from ftc.cli.terminal import ColorMode, Terminal

P = ParamSpec("P")
Style = Literal["full", "concise"]
DEFAULT_RECIPE = "recipe.toml"
ALLOW = "FTC_ALLOW"
"""Where `ftc.recipe.project` looks for directories that the user allows."""


@dataclass(frozen=True)
class Request:
    """What every recipe command is given: recipes, overrides, and how to answer."""

    recipes: tuple[Path, ...]
    overrides: tuple[str, ...]
    json: bool
    style: Style
    terminal: Terminal


def epilog(*examples: str) -> str:
    """What stands below a command's options: examples as they would be typed, and the exit codes."""
    lines = "".join(f"  {example}\n" for example in examples)
    return f"\b\nExamples:\n{lines}\n{EXIT_CODES}"


def _verbosity(quiet: bool, verbose: bool) -> int:
    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose contradict each other")
    return verbose - quiet


def terminal_options(function: Callable[..., int]) -> Callable[..., int]:
    """Add --color, --quiet and --verbose; the command receives a Terminal."""

    @click.option("-v", "--verbose", is_flag=True, help="Say more.")
    @click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors and results.")
    @click.option(
        "--color",
        type=click.Choice(["auto", "always", "never"]),
        default="auto",
        help="Colour the output; by default on a terminal, unless NO_COLOR is set.",
    )
    @wraps(function)
    def command(*args: Any, color: ColorMode, quiet: bool, verbose: bool, **rest: Any) -> int:
        terminal = Terminal.open(color, _verbosity(quiet, verbose))
        return function(terminal, *args, **rest)

    return command


def json_option(function: Callable[..., int]) -> Callable[..., int]:
    """Add --json."""
    return click.option("--json", "json", is_flag=True, help="Print one JSON document.")(function)


def style_option(function: Callable[..., int]) -> Callable[..., int]:
    """Add --format, as `style`."""
    choice = click.Choice(["full", "concise"])
    said = "How findings are shown: with the recipe's text, or one line each."
    return click.option("--format", "style", type=choice, default="full", help=said)(function)


def set_option(
    said: str = "Override a setting, as in --set train.epochs=1; may be repeated.",
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Add --set, as `overrides`; `said` is its help."""
    return click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help=said)


def allow_option(function: Callable[..., int]) -> Callable[..., int]:
    """Add --allow: directories outside of the project which paths in the recipes may lead to."""

    @click.option(
        "--allow",
        "allow",
        multiple=True,
        metavar="DIR",
        help="A directory outside of the project that paths in the recipe may lead to.",
    )
    @wraps(function)
    def command(*args: Any, allow: tuple[str, ...], **rest: Any) -> int:
        before = os.environ.get(ALLOW)
        given = [str(Path(name).expanduser().absolute()) for name in allow]
        try:
            os.environ[ALLOW] = os.pathsep.join([*given, *([before] if before else [])])
            return function(*args, **rest)
        finally:
            os.environ.pop(ALLOW)
            os.environ.update({} if before is None else {ALLOW: before})

    return command


def _recipe_path(given: str) -> Path:
    path = Path(given)
    return path / DEFAULT_RECIPE if path.is_dir() else path


def _recipes(given: tuple[str, ...]) -> tuple[Path, ...]:
    if not given and not Path(DEFAULT_RECIPE).is_file():
        raise click.UsageError(f"name a recipe: there is no {DEFAULT_RECIPE} in this directory")
    return tuple(dict.fromkeys(map(_recipe_path, given or (DEFAULT_RECIPE,))))


def recipe_options(function: Callable[Concatenate[Request, P], int]) -> Callable[..., int]:
    """Add RECIPE…, --set, --format, --json and the terminal's options; the command receives a Request."""

    @click.argument("recipes", nargs=-1, metavar="RECIPE...")
    @set_option()
    @allow_option
    @style_option
    @json_option
    @terminal_options
    @wraps(function)
    def command(
        terminal: Terminal,
        *args: Any,
        recipes: tuple[str, ...],
        overrides: tuple[str, ...],
        json: bool,
        style: Style,
        **rest: Any,
    ) -> int:
        request = Request(_recipes(recipes), overrides, json, style, terminal)
        return function(request, *args, **rest)

    return command
