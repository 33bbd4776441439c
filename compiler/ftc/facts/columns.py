"""Hold the query's columns against what the recipe's rendering and objective need."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ftc.diagnostics import Finding, Span
from ftc.facts.media import media_findings
from ftc.objectives.choose import fits, wanted
from ftc.recipe.load import Origins
from ftc.recipe.model import Dedupe, Recipe
from ftc.recipe.suggest import closest, did_you_mean

RENDERED = ("prompt", "completion", "chosen", "rejected", "text")
TRUTH = "true or false (BOOLEAN)"
SPOKEN = ("prompt", "chosen", "rejected")
"""Columns that may be texts or lists of messages."""


def offered_columns(recipe: Recipe, columns: Mapping[str, str]) -> dict[str, str]:
    """What an objective can use, with its type: the query's columns and what `[render]` makes of them."""
    made = {name: "VARCHAR" for name in RENDERED if getattr(recipe.render, name) is not None}
    if recipe.render.user is not None or recipe.render.assistant is not None:
        made = {name: kind for name, kind in made.items() if name not in ("prompt", "completion")}
        made["messages"] = "JSON"
    return {**columns, **made}


def is_conversation(kind: str) -> bool:
    """Whether a column's type is a list of messages."""
    return (kind.startswith("STRUCT(") and kind.endswith("[]")) or kind == "JSON[]"


def _listed(columns: Mapping[str, str]) -> str:
    return ", ".join(f"`{name}` {kind}" for name, kind in columns.items())


def _no_fit(recipe: Recipe, origins: Origins, columns: Mapping[str, str]) -> Finding:
    stated = recipe.train.objective_name
    offered = offered_columns(recipe, columns)
    notes = (f"the query returns {_listed(columns)}",)
    if stated is not None and fits(offered):
        other = fits(offered)[0].objective.name
        return Finding(
            "FTC502",
            f"the objective `{stated}` does not fit the columns, which are those of `{other}`",
            origins.value("train", "objective"),
            help=(f'name the columns it takes, {wanted(stated)}, or write objective = "{other}"',),
            notes=notes,
        )
    roles = ("messages", "prompt", "completion", "text", "chosen", "rejected", "label", "anchor", "positive")
    near = [(other, role) for role in roles for other in closest(role, columns)]
    hints = tuple(f"if `{other}` is the {role}, end its expression with `as {role}`" for other, role in near)
    data = recipe.data
    named = data.query is not None or data.mix is not None
    where = "name columns with `as`" if named else "add a query that names columns"
    return Finding(
        "FTC501",
        "no objective fits the columns that the query returns",
        origins.value(*_query_key(recipe)),
        help=(*hints, f"{where}: {wanted(stated)}", "or make messages of them in [render]"),
        notes=notes,
    )


def _type_problem(name: str, kind: str, *, pairs: bool, types: tuple[str, ...] = ("BOOLEAN",)) -> str | None:
    if name == "messages":
        good = is_conversation(kind) or kind in ("JSON", "VARCHAR")
        return None if good else "a list of {role, content} structs, or JSON text of one"
    if name == "label":
        words = TRUTH if types == ("BOOLEAN",) else "a text or a whole number (VARCHAR)"
        return None if kind in types else words
    if name in SPOKEN and pairs and is_conversation(kind):
        return None
    return None if kind == "VARCHAR" else "text (VARCHAR)"


def _query_key(recipe: Recipe) -> tuple[str, ...]:
    """The key of the query, or of the first of a mix."""
    mix = recipe.data.mix
    return ("data", "mix", min(mix), "query") if mix else ("data", "query")


def _definition(name: str, recipe: Recipe) -> re.Match[str] | None:
    """Where the query in the recipe names a column with `as`, and what stands before it if that is plain."""
    mix = recipe.data.mix
    sql = mix[min(mix)].query if mix else recipe.data.query
    if not isinstance(sql, str):
        return None
    found = re.finditer(rf"(?:(?<![\w.)])([\w.]+)\s+)?\bas\s+{re.escape(name)}\b", sql, re.IGNORECASE)
    return max(found, key=lambda match: match.start(), default=None)


def _column_span(name: str, recipe: Recipe, origins: Origins) -> Span | None:
    found = _definition(name, recipe)
    key = _query_key(recipe)
    return origins.inside(key, *found.span()) if found else origins.value(*key)


def _type_help(name: str, kind: str, wanted: str, recipe: Recipe) -> str:
    if name == "messages":
        return (
            "make a list of them: [{role: 'user', content: …}, {role: 'assistant', content: …}] as messages"
        )
    if kind == "VARCHAR" and wanted == TRUTH:
        return "write what is true in the query, such as: vote = 'up' as label"
    found = _definition(name, recipe)
    plain = found[1] if found and found[1] else name
    unstated = recipe.data.query is None and recipe.data.mix is None
    where = "add a query that casts it" if unstated else "cast it in the query"
    type_ = "boolean" if wanted == TRUTH else "varchar"
    cast = f"({plain}->>'$')" if kind == "JSON" else f"{plain}::{type_}"  # a cast would keep JSON's quotes
    return f"{where}: {cast} as {name}"


def fit_findings(recipe: Recipe, origins: Origins, columns: Mapping[str, str]) -> tuple[Finding, ...]:
    """What keeps the columns from fitting an objective: their names, or their types."""
    media = tuple(media_findings(columns, origins.value(*_query_key(recipe))))
    if media:
        return media
    found = fits(offered_columns(recipe, columns), recipe.train.objective_name)
    if not found:
        return (_no_fit(recipe, origins, columns),)
    taken = [
        name
        for name in found[0].shape.columns
        if name in columns and getattr(recipe.render, name, None) is None
    ]
    if "messages" in found[0].shape.columns and recipe.render.user is not None:
        taken = []
    findings = []
    for name in taken:
        fit = found[0]
        types = fit.shape.types.get(name, ("BOOLEAN",))
        wants = _type_problem(name, columns[name], pairs=bool(fit.objective.members), types=types)
        if wants:
            findings.append(
                Finding(
                    "FTC209",
                    f"the column `{name}` is {columns[name]}, but must be {wants}",
                    _column_span(name, recipe, origins),
                    help=(_type_help(name, columns[name], wants, recipe),),
                )
            )
    return tuple(findings)


def _missing(
    column: str, key: tuple[str | int, ...], origins: Origins, columns: Mapping[str, str]
) -> Finding:
    setting = ".".join(part for part in key if isinstance(part, str))
    return Finding(
        "FTC208",
        f"`{setting}` names the column `{column}`, which the query does not return",
        origins.value(*key),
        help=did_you_mean(column, columns) or (f"add `{column}` to the query's select list",),
        notes=(f"the query returns {_listed(columns)}",),
    )


def missing_columns(recipe: Recipe, origins: Origins, columns: Mapping[str, str]) -> tuple[Finding, ...]:
    """Columns that the recipe names for id, split and duplicates, and the query does not return."""
    data, split = recipe.data, recipe.data.split
    compared = data.dedupe.columns if isinstance(data.dedupe, Dedupe) else None
    named: list[tuple[str | None, tuple[str | int, ...]]] = [
        (data.id, ("data", "id")),
        (split.group, ("data", "split", "group")),
        (split.stratify, ("data", "split", "stratify")),
        (split.column, ("data", "split", "column")),
    ]
    named += [(name, ("data", "dedupe", "columns", place)) for place, name in enumerate(compared or ())]
    return tuple(
        _missing(column, key, origins, columns)
        for column, key in named
        if column is not None and column not in columns
    )


def objective_findings(recipe: Recipe, origins: Origins, columns: Mapping[str, str]) -> tuple[Finding, ...]:
    """Columns that are missing or of a type that cannot be used, for the split, the id and the objective."""
    return missing_columns(recipe, origins, columns) + fit_findings(recipe, origins, columns)
