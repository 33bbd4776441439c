"""What the types refuse, as findings: unknown keys, wrong types, ranges, unknown words, missing parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ftc import tuning
from ftc.diagnostics import Finding
from ftc.recipe import keys, wording
from ftc.recipe.forms import FORMS
from ftc.recipe.language import Bounds, allowed_values, bounds_of, field_at, translated
from ftc.recipe.layers import Key, Origins, Values, lookup
from ftc.recipe.model import Recipe
from ftc.recipe.suggest import closest, either, listed


@dataclass(frozen=True)
class Mistake:
    """One refusal of the types: its kind in pydantic's word, the setting, what stands there.

    `branch` tells that the setting has several forms and this is why one of them does not fit.
    """

    kind: str
    path: Key
    value: Any
    context: dict[str, Any]
    branch: bool


@dataclass(frozen=True)
class Scene:
    """The settings of a recipe with their places."""

    values: Values
    origins: Origins


def typed(values: Values, origins: Origins) -> tuple[Recipe | None, list[Finding]]:
    """The recipe that the settings make, or every reason why they make none."""
    try:
        return Recipe.model_validate(values), []
    except ValidationError as error:
        mistakes = [*_mistakes(error, values), *_under_unknown_form(error, values)]
    scene = Scene(values, origins)
    return None, [finding for mistake in _distinct(mistakes) for finding in _findings(mistake, scene)]


def _mistakes(error: ValidationError, values: Values) -> list[Mistake]:
    found = []
    for detail in error.errors(include_url=False):
        path, branch = setting_of(detail["loc"], values)
        found.append(Mistake(detail["type"], path, detail["input"], detail.get("ctx", {}), branch))
    return found


def _under_unknown_form(error: ValidationError, values: Values) -> list[Mistake]:
    """The other mistakes in [tune] where its method is unknown: they must not hide behind it."""
    tune, default = values.get("tune"), FORMS["tune",].default
    tags = [detail for detail in error.errors(include_url=False) if detail["type"] == "union_tag_invalid"]
    if not any(detail["loc"] == ("tune",) for detail in tags) or not isinstance(tune, dict):
        return []
    try:
        Recipe.model_validate(values | {"tune": tune | {"method": default}})
    except ValidationError as other:
        return [m for m in _mistakes(other, values) if m.path[:1] == ("tune",)]
    return []


_TAGGED = (
    *FORMS,
    ("train", "objective", "rewards", None),
    ("model", "base"),
    ("sweep", "keys", None),
    ("data", "query"),
    ("data", "mix", None, "query"),
    ("data", "split", "query"),
    ("data", "dedupe"),
    ("train", "schedule"),
    ("data", "sources", None),
    ("eval",),
    ("eval", "metrics", None),
    ("eval", None, "metrics", None),
    ("eval", "query"),
    ("eval", None, "query"),
    ("eval", "sources", None),
    ("eval", None, "sources", None),
)


def _is_tagged(path: Key) -> bool:
    return any(
        len(path) == len(tagged) and all(q in (None, p) for p, q in zip(path, tagged, strict=True))
        for tagged in _TAGGED
    )


def setting_of(location: Iterable[str | int], values: Values) -> tuple[Key, bool]:
    """The path in the recipe of pydantic's location, and whether it names a form of a union beyond it."""
    path: Key = ()
    passed: Key | None = None
    branch = False
    for part in location:
        here = lookup(values, path) if path else values
        if _is_tagged(path) and passed != path:
            passed = path
        elif isinstance(here, dict) or (isinstance(here, list) and isinstance(part, int)):
            path = (*path, part)
        else:
            branch = True
    return path, branch


def _distinct(mistakes: list[Mistake]) -> list[Mistake]:
    """Without the echoes: other forms of the same setting, and lengths counted without refused elements."""
    kept: dict[Key, Mistake] = {}
    for mistake in mistakes:
        if mistake.kind == "too_short" and len(mistake.value) >= mistake.context["min_length"]:
            continue
        older = kept.get(mistake.path)
        if older is None or (older.branch and _tells_more(mistake, older)):
            kept[mistake.path] = mistake
    kept = _first_elements(kept)
    slips = {m.path for m in kept.values() if m.kind == "extra_forbidden"}
    return [m for m in kept.values() if not (m.branch and _deeper(m.path, kept)) and not _misspelt(m, slips)]


def _first_elements(kept: dict[Key, Mistake]) -> dict[Key, Mistake]:
    """Of several elements of one array that are wrong in the same way, the first alone."""
    first: dict[tuple[Key, str], Key] = {}
    for path, mistake in kept.items():
        group = path[:-1] if path and isinstance(path[-1], int) else path
        first.setdefault((group, mistake.kind), path)
    return {path: kept[path] for path in first.values()}


def _misspelt(mistake: Mistake, slips: Iterable[Key]) -> bool:
    """Whether a missing key is there under a name that is a slip for it."""
    if mistake.kind != "missing":
        return False
    around, wanted = mistake.path[:-1], str(mistake.path[-1])
    beside = [str(path[-1]) for path in slips if path[:-1] == around]
    home = ".".join(map(str, (*around, wanted)))
    return bool(closest(wanted, beside)) or any(translated(key, around) == home for key in beside)


def _tells_more(mistake: Mistake, older: Mistake) -> bool:
    """Whether `mistake` is a better account than `older` of a setting that has several forms."""
    if older.kind == "literal_error" and isinstance(older.value, str):
        words = re.findall("'([^']*)'", older.context["expected"])
        return not closest(older.value, words)
    return mistake.kind != "literal_error"


def _deeper(path: Key, kept: Iterable[Key]) -> bool:
    return any(len(other) > len(path) and other[: len(path)] == path for other in kept)


def _findings(mistake: Mistake, scene: Scene) -> Iterable[Finding]:
    for start, describe in _KINDS:
        if mistake.kind.startswith(start):
            yield describe(mistake, scene)
            return
    yield _type(mistake, scene)


def _unknown(mistake: Mistake, scene: Scene) -> Finding:
    return keys.unknown_key(mistake.path, scene.values, scene.origins)


def _missing(mistake: Mistake, scene: Scene) -> Finding:
    return keys.missing_key(mistake.path, scene.origins)


def _type(mistake: Mistake, scene: Scene) -> Finding:
    if not mistake.path:
        return Finding("FTC103", "the recipe must be a table", scene.origins.end())
    name = wording.name(mistake.path)
    expected = wording.EXPECTED.get(mistake.kind, "a value of another kind")
    span = scene.origins.value(*mistake.path)
    message = f"`{name}` must be {expected}, not {wording.found(mistake.value)}"
    return Finding(
        "FTC103", message, span, f"expected {expected}", help=wording.type_help(mistake.kind, mistake)
    )


def _json(mistake: Mistake, scene: Scene) -> Finding:
    message = f"`{wording.name(mistake.path)}` cannot be {wording.found(mistake.value)}"
    help_line = f'write it as a string: "{mistake.value}"'
    return Finding("FTC103", message, scene.origins.value(*mistake.path), help=(help_line,))


def _finite(mistake: Mistake, scene: Scene) -> Finding:
    message = f"`{wording.name(mistake.path)}` must be a finite number"
    return Finding(
        "FTC104", message, scene.origins.value(*mistake.path), help=("write a number such as 1.0",)
    )


def _range(mistake: Mistake, scene: Scene) -> Finding:
    field = field_at(mistake.path, scene.values)
    bounds = bounds_of(field) if field else Bounds()
    message = f"`{wording.name(mistake.path)}` must be {bounds}"
    span = scene.origins.value(*mistake.path)
    help_lines = wording.range_help(mistake.path, mistake.value)
    return Finding("FTC104", message, span, f"this is {wording.shown(mistake.value)}", help=help_lines)


def _empty(mistake: Mistake, scene: Scene) -> Finding:
    name = wording.name(mistake.path)
    span = scene.origins.value(*mistake.path)
    if mistake.path == ("data", "sources"):
        return Finding("FTC106", "no source is declared", span, help=(keys.example(("data", "sources")),))
    return Finding("FTC104", f"`{name}` must not be empty", span, help=("give a value, or remove the key",))


def _long(mistake: Mistake, scene: Scene) -> Finding:
    most = mistake.context["max_length"]
    message = f"`{wording.name(mistake.path)}` must have at most {most} character{'s' * (most != 1)}"
    return Finding("FTC104", message, scene.origins.value(*mistake.path))


def _pattern(mistake: Mistake, scene: Scene) -> Finding:
    message = f"`{wording.name(mistake.path)}` cannot be {wording.shown(mistake.value)}"
    good = re.sub(r"[^A-Za-z0-9._-]+", "-", mistake.value).strip("-._") or "my-run"
    help_line = f'letters, digits, `.`, `_` and `-` make a name: write "{good}"'
    forms = {"sha256": "a SHA-256 has 64 digits, 0 to 9 and a to f: `ftc plan` prints it"}
    forms |= {"env": 'write the name of an environment variable, such as "PG_URL"'}
    help_line = forms.get(str(mistake.path[-1]), help_line)
    return Finding("FTC104", message, scene.origins.value(*mistake.path), help=(help_line,))


def _word(mistake: Mistake, scene: Scene) -> Finding:
    field = field_at(tuple(part for part in mistake.path if isinstance(part, str)), scene.values)
    words = allowed_values(field.annotation) if field else ()
    known = isinstance(mistake.value, str)
    return _unknown_word(mistake, scene, words) if known else _no_word(mistake, scene, words)


def _no_word(mistake: Mistake, scene: Scene, words: tuple[str, ...]) -> Finding:
    name, found = wording.name(mistake.path), wording.found(mistake.value)
    span = scene.origins.value(*mistake.path)
    choices = either([wording.shown(word) for word in words])
    message = f"`{name}` must be a word in quotes, not {found}"
    return Finding("FTC103", message, span, help=(f"write {choices}",))


def _unknown_word(mistake: Mistake, scene: Scene, words: tuple[str, ...]) -> Finding:
    value = str(mistake.value)
    near = wording.OTHER_WORDS.get(value.casefold()) or "".join(closest(value, words))
    helps = [f'did you mean "{near}"?'] if near in words else []
    if len(words) > 1 or not helps:
        helps.append(f"write {either([wording.shown(word) for word in words])}")
    message = f"`{wording.name(mistake.path)}` cannot be {wording.shown(value)}"
    return Finding("FTC105", message, scene.origins.value(*mistake.path), help=tuple(helps))


def _form(mistake: Mistake, scene: Scene) -> Finding:
    """A table whose form is not known, such as [tune] with a method that there is not."""
    table = tuple(map(str, mistake.path))
    forms = FORMS[table]
    path = (*table, forms.key)
    value = lookup(scene.values, path)
    if not isinstance(mistake.value, dict):
        return _type(Mistake("model_type", table, mistake.value, {}, branch=False), scene)
    wrong = Mistake("literal_error", path, value, {}, branch=False)
    if value is None and forms.default is None:
        return keys.missing_key(path, scene.origins)
    if not isinstance(value, str):
        return _no_word(wrong, scene, forms.names)
    finding = _unknown_word(wrong, scene, forms.names)
    notes: tuple[str, ...] = (f"{forms.key}s: {listed(forms.names)}",)
    if table == ("tune",) and value.casefold() in tuning.REFUSED:
        notes = (tuning.REFUSED[value.casefold()], *notes)
    return Finding(finding.code, finding.message, finding.span, help=finding.help[:1], notes=notes)


_KINDS: tuple[tuple[str, Callable[[Mistake, Scene], Finding]], ...] = (
    ("extra_forbidden", _unknown),
    ("missing", _missing),
    ("literal_error", _word),
    ("union_tag", _form),
    ("greater_than", _range),
    ("less_than", _range),
    ("finite_number", _finite),
    ("too_short", _empty),
    ("string_too_short", _empty),
    ("string_too_long", _long),
    ("string_pattern", _pattern),
    ("invalid-json", _json),
)
