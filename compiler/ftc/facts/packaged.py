"""Files inside installed packages, named `package://NAME/FILE`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

SCHEME = "package://"


def is_packaged(location: str) -> bool:
    """Whether a location names a file of an installed package."""
    return location.startswith(SCHEME)


def package_name(location: str) -> str:
    """The package of a `package://` location."""
    return location.removeprefix(SCHEME).partition("/")[0]


def package_directory(location: str) -> Path | None:
    """The directory of the package a location names, found without importing it; None if not installed."""
    name = package_name(location)
    spec = find_spec(name) if name.isidentifier() else None
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) if places else None


def packaged_path(location: str) -> Path | None:
    """The path a `package://` location stands for (it may not exist); None if the package is missing."""
    directory = package_directory(location)
    return None if directory is None else directory / location.removeprefix(SCHEME).partition("/")[2]
