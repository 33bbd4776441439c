"""Reading recipe files: the file itself, and those it extends."""

from __future__ import annotations

import os
from pathlib import Path

from ftc.diagnostics import Finding, Source, Span
from ftc.recipe.layers import Layer, Values
from ftc.recipe.suggest import closest
from ftc.recipe.syntax import read_toml

MOST_BYTES = 4 * 2**20
"""A larger file is data that was named by mistake."""


def shown_name(path: Path) -> str:
    """The name of a file for people: relative to the working directory where it lies below it."""
    absolute, here = Path(os.path.normpath(path.absolute())), Path.cwd()
    return absolute.relative_to(here).as_posix() if absolute.is_relative_to(here) else str(path)


def read_source(path: Path) -> Source | Finding:
    """The text of a recipe file, or why there is none (FTC110)."""
    name = shown_name(path)
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return Finding("FTC110", f"the recipe `{name}` does not exist", place=name, help=_neighbours(path))
    except IsADirectoryError:
        return Finding("FTC110", f"`{name}` is a directory", place=name, help=_inside(path))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return Finding("FTC110", f"the recipe `{name}` cannot be read: {reason}", place=name)
    if len(data) > MOST_BYTES:
        message = f"`{name}` is too large for a recipe"
        return Finding("FTC110", message, place=name, help=("name the TOML file, not the data it reads",))
    return _decoded(name, data)


def _decoded(name: str, data: bytes) -> Source | Finding:
    try:
        return Source(name, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        wrong_at = error.start
    before = data[:wrong_at].decode("utf-8-sig")
    source = Source(name, data.decode("utf-8-sig", "replace"))
    message = f"`{name}` is not UTF-8: byte {wrong_at} is 0x{data[wrong_at]:02x}"
    help_lines = ("save the file as UTF-8",)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        help_lines = ("the file is UTF-16: save it as UTF-8",)
    span = Span(source, len(before), len(before) + 1)
    return Finding("FTC110", message, span, "not UTF-8", help=help_lines)


def _neighbours(path: Path) -> tuple[str, ...]:
    try:
        names = [other.name for other in path.parent.iterdir() if other.suffix == ".toml"]
    except OSError:
        return (f"the directory `{path.parent}` does not exist",)
    return tuple(f"did you mean `{shown_name(path.parent / name)}`?" for name in closest(path.name, names))


def _inside(path: Path) -> tuple[str, ...]:
    names = sorted(other.name for other in path.glob("*.toml"))
    best = "recipe.toml" if "recipe.toml" in names else "".join(names[:1])
    return (f"name the recipe in it: {shown_name(path / best)}",) if best else ("name a recipe file",)


def read_chain(path: Path) -> tuple[tuple[Layer, ...], list[Finding]]:
    """The recipe at `path` and those it extends, most specific first, and what is wrong with them.

    No layer comes back where the recipe itself cannot be read.
    """
    layers: list[Layer] = []
    findings: list[Finding] = []
    seen: list[Path] = []
    following: Path | None = path
    while following is not None:
        seen.append(following.resolve())
        source = read_source(following)
        if isinstance(source, Finding):
            findings.append(_in_chain(source, layers))
            break
        layer, wrong = _layer(source, following)
        layers.append(layer)
        findings += wrong
        following = _base(layer)
        if following is not None and following.resolve() in seen:
            findings.append(_circle([*seen, following.resolve()], layer))
            break
    return tuple(_without_extends(layer) for layer in layers), findings


def _layer(source: Source, path: Path) -> tuple[Layer, list[Finding]]:
    document = read_toml(source)
    layer = Layer(source, document.values, document.places, path.parent)
    return layer, list(document.findings)


def _base(layer: Layer) -> Path | None:
    name = layer.values.get("extends")
    return layer.directory / name if isinstance(name, str) and name else None


def _without_extends(layer: Layer) -> Layer:
    """What is inherited is in the layers below, so the key has done its work; a mistaken one stays."""
    if not layer.values.get("extends") or not isinstance(layer.values["extends"], str):
        return layer
    values: Values = {key: value for key, value in layer.values.items() if key != "extends"}
    return Layer(layer.source, values, layer.places, layer.directory)


def _in_chain(finding: Finding, layers: list[Layer]) -> Finding:
    """Why a recipe that is extended cannot be read, at the place which extends it."""
    if not layers or finding.span is not None:
        return finding
    span = Span(layers[-1].source, *layers[-1].places.values[("extends",)])
    notes = ("the path is relative to the file in which it stands",)
    return Finding("FTC108", finding.message, span, help=finding.help, notes=notes)


def _circle(seen: list[Path], layer: Layer) -> Finding:
    start = seen.index(seen[-1])
    names = [shown_name(path) for path in seen[start:]]
    span = Span(layer.source, *layer.places.values[("extends",)])
    message = "`extends` goes in a circle" if len(names) > 2 else "the recipe extends itself"
    return Finding("FTC108", message, span, help=("remove one `extends`",), notes=(" → ".join(names),))
