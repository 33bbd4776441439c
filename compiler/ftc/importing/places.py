"""Where a peer's file says that a model or rows are, as the recipe names it; nothing is opened."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from ftc.importing.draft import Home
from ftc.recipe.source_kinds import ENDINGS, ending
from ftc.recipe.starter import table_name

BUILDERS = {
    "json": "json",
    "csv": "csv",
    "parquet": "parquet",
    "text": "text",
    "arrow": "arrow",
}
"""Loaders of `datasets` that read files, with ftc's word."""

_HUB = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def is_file(path: str) -> bool:
    """Whether a name means files, and no data set of the hub: by its beginning or its ending."""
    return path.startswith((".", "/", "~")) or "://" in path or ending(path) in ENDINGS or "\\" in path


def local(path: str, home: Home, start: Path | None = None) -> str:
    """A path that begins where the command runs, or at `start`, as the recipe takes it."""
    if "://" in path or path.startswith(("/", "~")):
        return path
    return Path(os.path.relpath((start or home.here) / path, home.recipe)).as_posix()


def base(name: str, home: Home) -> str:
    """A base model: paths as the recipe takes them, names of the hub as they are."""
    plain = not name.startswith(".") and _HUB.fullmatch(name)
    if plain:
        return name
    path = local(name, home)
    return path if path.startswith((".", "/", "~")) or "://" in path else f"./{path}"


def files(path: str, home: Home, form: str | None = None, start: Path | None = None) -> str | dict[str, Any]:
    """A source of files, with the format where its name does not tell it."""
    place = local(path, home, start)
    told = ENDINGS.get(ending(path))
    if form is None or told == form or (form == "json" and told == "jsonl"):
        return place
    return {"path": place, "format": form}


def hub(name: str, subset: str | None, split: str | None, revision: str | None) -> dict[str, Any]:
    """A source that is a data set of the hub."""
    stated = {"dataset": name, "subset": subset, "split": split, "revision": revision}
    return {key: value for key, value in stated.items() if value is not None}


def source_name(place: str, taken: set[str]) -> str:
    """A name for a source that no other one has, made of the last part of its place; it is taken then."""
    stem = place.replace("\\", "/").rstrip("/").rpartition("/")[2]
    name = plain = table_name(stem.partition(".")[0][:40])
    number = 2
    while name in taken:
        name, number = f"{plain}_{number}", number + 1
    taken.add(name)
    return name
