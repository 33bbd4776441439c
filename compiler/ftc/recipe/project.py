"""`[project]`: what of this machine the paths of a recipe may lead to, and the rule that holds them to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ftc.diagnostics import Finding
from ftc.recipe.base import Strings, Table
from ftc.recipe.layers import Key, Layer, Origins, lookup
from ftc.recipe.settings import Settings

ALLOW = "FTC_ALLOW"
"""Directories that any recipe may read, apart as in PATH."""

MARKS = (".git", ".hg", ".jj", ".svn", "pyproject.toml")
"""What stands at the top of a project."""

PATHS: tuple[tuple[str | None, ...], ...] = (
    ("data", "sources", None),
    ("data", "sources", None, "path"),
    ("data", "query", "file"),
    ("data", "mix", None, "query", "file"),
    ("data", "split", "query", "file"),
    ("eval", "sources", None),
    ("eval", "sources", None, "path"),
    ("eval", "query", "file"),
    ("eval", "metrics", "python"),
    ("eval", "task_files"),
    ("project", "allow"),
    ("model", "base", "recipe"),
)
"""Settings that are paths, relative to the text in which they stand."""

PERHAPS_PATHS: tuple[Key, ...] = (("model", "base"), ("model", "chat_template"))
"""Settings that are paths where something is there, and otherwise names."""

OTHER_PATHS: tuple[tuple[str | None, ...], ...] = (
    ("train", "objective", "rewards", "python"),
    ("train", "objective", "rewards", "recipe"),
    ("train", "objective", "teacher"),
)
"""Paths of objectives' own options, of which some are names of the hub."""

MAGIC = frozenset("*?[")
COMMAND_LINE = "--set"


class Project(Table):
    """`[project]`: what belongs to the project beside its own directory."""

    allow: Strings | None = None
    """Directories and files outside of the project that paths in this recipe may lead to."""


def top(directory: Path) -> Path:
    """The project of a recipe: the repository around its directory, or that directory where there is none."""
    here = directory.resolve()
    for place in (here, *here.parents):
        if place in (Path.home(), Path(place.anchor)):
            break
        if any((place / mark).exists() for mark in MARKS):
            return place
    return here


def allowed(origins: Origins) -> tuple[Path, ...]:
    """Where paths of a recipe may lead: its project, what it declares, and what the user allows."""
    declared = [
        layer.directory / Path(name).expanduser()
        for layer in origins.layers
        for name in _names(lookup(layer.values, ("project", "allow")))
    ]
    return (*free(origins.main.directory), *(place.resolve() for place in declared))


def free(directory: Path) -> tuple[Path, ...]:
    """Where paths of a recipe in a directory may lead without being declared."""
    users = [Path(name).resolve() for name in os.environ.get(ALLOW, "").split(os.pathsep) if name]
    return (top(directory), *users)


def _names(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def is_inside(path: Path, places: tuple[Path, ...]) -> bool:
    """Whether a path is in one of some directories once links are followed."""
    real = path.resolve()
    return any(real == place or real.is_relative_to(place) for place in places)


def leaving(settings: Settings) -> Iterator[Finding]:
    """Paths in a recipe stay in its project, unless it says where else they lead (FTC227)."""
    origins = settings.origins
    places: tuple[Path, ...] | None = None
    for path, value in _strings(settings.values, ()):
        layer = origins.layer(*path)
        if layer is None or path[0] == "project" or not _is_checked(path, value, layer):
            continue
        places = places or allowed(origins)
        target = layer.directory / Path(fixed(_without_function(path, value))).expanduser()
        if not is_inside(target, places):
            yield outside(origins, path, target, layer.directory, places[0])
    yield from _extended(origins, places)


def _extended(origins: Origins, places: tuple[Path, ...] | None) -> Iterator[Finding]:
    """The recipes that one extends are in the project too."""
    for layer in origins.layers:
        file = Path(layer.source.name)
        if layer is origins.main or file.suffix != ".toml":
            continue
        places = places or allowed(origins)
        if not is_inside(layer.directory, places):
            yield outside(origins, ("extends",), layer.directory, origins.main.directory, places[0])


def outside(origins: Origins, path: Key, target: Path, directory: Path, project: Path) -> Finding:
    """The finding for a setting that leads out of the project."""
    real = target.resolve()
    place = real if real.is_dir() else real.parent
    given = target.is_absolute() and not target.is_relative_to(directory)
    shown = place.as_posix() if given else Path(os.path.relpath(place, directory.resolve())).as_posix()
    name = ".".join(str(part) for part in path if isinstance(part, str))
    return Finding(
        "FTC227",
        f"`{name}` leads out of the project, to {real}",
        origins.value(*path),
        help=(f'declare it: allow = ["{shown}"] in [project]', f"or allow it this time: --allow {place}"),
        notes=(f"the project is {project}",),
    )


def _strings(value: Any, path: Key) -> Iterator[tuple[Key, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _strings(inner, (*path, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _strings(inner, (*path, number))
    elif isinstance(value, str) and value:
        yield path, value


def names_path(path: Key) -> bool:
    """Whether the setting at a path of the recipe is always a path."""
    words = tuple(part for part in path if isinstance(part, str))
    return any(_fits(words, known) for known in PATHS)


def _fits(words: tuple[str, ...], known: tuple[str | None, ...]) -> bool:
    return len(words) == len(known) and all(q in (None, p) for p, q in zip(words, known, strict=True))


def _is_path(path: Key, value: str, layer: Layer) -> bool:
    if "://" in value:
        return False
    if names_path(path):
        return True
    words = tuple(part for part in path if isinstance(part, str))
    if words not in PERHAPS_PATHS and not any(_fits(words, known) for known in OTHER_PATHS):
        return False
    return value.startswith(("/", "~", ".")) or (layer.directory / _without_function(path, value)).exists()


def _is_checked(path: Key, value: str, layer: Layer) -> bool:
    """Whether a setting is a path that a recipe gives; what the command line gives is its user's own."""
    return layer.source.name != COMMAND_LINE and _is_path(path, value, layer)


def _without_function(path: Key, value: str) -> str:
    """The file of `file.py:function`."""
    return value.rpartition(":")[0] or value if path[-1] == "python" else value


def fixed(pattern: str) -> str:
    """The part of a glob that stands before its first wildcard; all of what is none."""
    parts = Path(pattern).parts
    first = next((place for place, part in enumerate(parts) if MAGIC & set(part)), len(parts))
    return str(Path(*parts[:first])) if first else "."


RULES: tuple[Callable[[Settings], Iterator[Finding]], ...] = (leaving,)
