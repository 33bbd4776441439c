"""From a recipe file to a typed recipe, with everything that is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ftc.diagnostics import Finding, Source, sort_findings
from ftc.recipe import contradictions, mistakes, templates
from ftc.recipe.files import read_chain
from ftc.recipe.layers import Key, Layer, Origins, Values, merged
from ftc.recipe.model import Recipe
from ftc.recipe.overrides import read_overrides
from ftc.recipe.partial import NOTHING, Known, known_mistakes, partial_recipe
from ftc.recipe.project import PERHAPS_PATHS, names_path
from ftc.recipe.toml_spans import Places
from ftc.recipe.toml_text import to_toml
from ftc.recipe.variants import NOTHING as NO_VARIANT
from ftc.recipe.variants import variant_layers, with_flat_keys

__all__ = ["Loaded", "Origins", "load_recipe"]


@dataclass(frozen=True)
class Loaded:
    """A recipe as read: typed unless its mistakes prevent that, with the place of every setting.

    `text` is the resolved recipe in canonical TOML: what it extends merged in, `--set` applied. `partial`
    is the recipe, or what is left of it without the settings that `known` tells to be wrong. `stated` is
    the recipe as it was written, where a lock has pinned something in it.
    """

    path: Path
    recipe: Recipe | None
    findings: tuple[Finding, ...]
    origins: Origins
    text: str
    partial: Recipe | None = None
    known: Known = NOTHING
    stated: Recipe | None = None


def load_recipe(
    path: Path,
    overrides: Sequence[str] = (),
    variant: Mapping[str, Any] = NO_VARIANT,
    home: Path | None = None,
) -> Loaded:
    """Read a recipe, what it extends and the overrides; never raises for a mistake of the user's.

    `variant` has values for keys of its [sweep], which go before all others. Its paths begin at `home`, where
    that is not its own directory.
    """
    files, findings = read_chain(path)
    if home is not None:
        files = tuple(replace(layer, directory=home) for layer in files)
    set_layers, wrong = read_overrides(overrides, Path.cwd())
    if not files:
        empty = Layer(Source(str(path), ""), {}, Places(), path.parent)
        return Loaded(path, None, sort_findings(findings + wrong), Origins((), empty), "")
    files = tuple(map(with_flat_keys, files))
    layers = (*variant_layers(variant, files), *map(with_flat_keys, set_layers), *files)
    values = merged(layers)
    origins = Origins(layers, files[0])
    recipe, refused = mistakes.typed(values, origins)
    refused += [*contradictions.find(values, origins), *templates.check(values, origins)]
    if findings:
        refused = [finding for finding in refused if finding.code not in ("FTC106", "FTC107")]
    found = sort_findings([*findings, *wrong, *refused])
    left, gone = (recipe, frozenset[Key]()) if recipe else partial_recipe(values)
    known = known_mistakes(found, origins, gone)
    typed = None if findings or wrong else recipe
    return Loaded(path, typed, found, origins, _text(values, origins), left, known)


def _text(values: Values, origins: Origins) -> str:
    """The resolved recipe as TOML, its paths relative to its own directory; without what others it tries."""
    own = {name: value for name, value in values.items() if name != "sweep"}
    return to_toml(_moved(own, origins, ()))


def _moved(value: Any, origins: Origins, path: Key) -> Any:
    if isinstance(value, dict):
        return {name: _moved(inner, origins, (*path, name)) for name, inner in value.items()}
    if isinstance(value, list):
        return [_moved(inner, origins, (*path, number)) for number, inner in enumerate(value)]
    if isinstance(value, str) and _is_path(tuple(p for p in path if isinstance(p, str)), value, origins):
        home = origins.main.directory
        directory = origins.directory(*path)
        if directory.absolute() != home.absolute():
            return Path(os.path.relpath(directory / value, home)).as_posix()
    return value


def _is_path(path: Key, value: str, origins: Origins) -> bool:
    """Whether a setting is a path that depends on the directory of the text it stands in."""
    if "://" in value or value.startswith(("/", "~")):
        return False
    if path in PERHAPS_PATHS:
        return value.startswith(".") or (origins.directory(*path) / value).exists()
    return names_path(path)
