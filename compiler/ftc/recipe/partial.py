"""What is left of a recipe whose text has mistakes, so that the rest of it can be checked all the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ftc.diagnostics import Finding, Span
from ftc.recipe.layers import Key, Origins, Values
from ftc.recipe.mistakes import setting_of
from ftc.recipe.model import Recipe

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

ROUNDS = 12
"""Taking a setting out can uncover what its table lacks, level by level."""

CUT_SHORT = ("FTC101", "FTC108", "FTC109", "FTC110")
"""Mistakes behind which settings may be lost."""

STAND_IN = "?"
MISSING: dict[Key, Any] = {
    ("model",): {"base": STAND_IN},
    ("model", "base"): STAND_IN,
    ("data",): {"sources": {"rows": STAND_IN}},
    ("data", "sources"): {"rows": STAND_IN},
}
"""What stands in for settings without which there is no recipe; nobody is told of it."""


@dataclass(frozen=True)
class Known:
    """What is already said of a recipe: the settings it is about, with the code of each.

    `gone` are settings that were refused and taken out; `lost` tells that others may be missing.
    """

    said: frozenset[tuple[str, Key]] = frozenset()
    gone: frozenset[Key] = frozenset()
    lost: bool = False

    def takes(self, *path: str | int) -> bool:
        """Whether a setting, one around it or one inside it was taken out."""
        return any(gone[: len(path)] == path or path[: len(gone)] == gone for gone in self.gone)

    def within(self, *path: str | int) -> frozenset[tuple[str, Key]]:
        """What is said of a setting and of those inside it."""
        return frozenset((code, key) for code, key in self.said if key[: len(path)] == path)

    def unknown_keys(self, *table: str) -> tuple[str, ...]:
        """The keys of a table that the language does not have."""
        keys = (key for code, key in self.within(*table) if code == "FTC102")
        return tuple(str(key[-1]) for key in keys if len(key) == len(table) + 1)


NOTHING = Known()
"""Of a recipe that has no mistake."""


def partial_recipe(values: Values) -> tuple[Recipe | None, frozenset[Key]]:
    """The recipe without the settings that its types refuse, and those settings."""
    gone: set[Key] = set()
    for _ in range(ROUNDS):
        try:
            return Recipe.model_validate(values), frozenset(gone)
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False)
        for path, new in [_repair(detail, values) for detail in details]:
            gone.add(path)
            values = _with(values, path, new)
    return None, frozenset(gone)


def _repair(detail: ErrorDetails, values: Values) -> tuple[Key, Any]:
    """The setting to change for one refusal, and its stand-in; None where it is taken out.

    An array with a wrong element is taken out as a whole, and so is a table that lacks a key.
    """
    path = setting_of(detail["loc"], values)[0]
    path = next((path[:i] for i, part in enumerate(path) if isinstance(part, int)), path)
    if detail["type"] != "missing":
        return path, None
    return (path, MISSING[path]) if path in MISSING else (path[:-1], None)


def _with(values: Values, path: Key, new: Any) -> Values:
    """The settings with another value at a path, or without the path where that is None."""
    if not path:
        return {}
    name, rest = str(path[0]), path[1:]
    others = {key: value for key, value in values.items() if key != name}
    if rest:
        inner = values.get(name)
        return others | {name: _with(inner if isinstance(inner, dict) else {}, rest, new)}
    return others if new is None else others | {name: new}


def known_mistakes(findings: Iterable[Finding], origins: Origins, gone: frozenset[Key]) -> Known:
    """The settings that findings of the text are about."""
    findings = tuple(findings)
    said = {
        (finding.code, _key_at(finding.span, origins)) for finding in findings if finding.code != "FTC106"
    }
    lost = any(finding.code in CUT_SHORT for finding in findings)
    return Known(frozenset((code, key) for code, key in said if key), gone, lost)


def _key_at(span: Span | None, origins: Origins) -> Key:
    """The innermost setting in whose key or value a span begins; empty where there is none."""
    if span is None:
        return ()
    layer = next((layer for layer in origins.layers if layer.source is span.source), None)
    if layer is None:
        return ()
    places = (*layer.places.keys.items(), *layer.places.values.items())
    around = [path for path, (start, end) in places if start <= span.start < max(end, start + 1)]
    return max(around, key=len, default=())
