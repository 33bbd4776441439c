"""Hold the queries of a recipe against each other: their columns, and the parameters they share."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ftc.diagnostics import Finding, Source, Span
from ftc.facts.query import Described
from ftc.recipe.evaluation import Eval, suites_of
from ftc.recipe.layers import Key, Origins
from ftc.recipe.model import Recipe
from ftc.recipe.rows import SqlFile
from ftc.recipe.suggest import did_you_mean

QUERY: Key = ("data", "query")
NAMED = re.compile(r"\$([A-Za-z_]\w*)")

HELD_OUT: Key = ("data", "split", "query")


@dataclass(frozen=True)
class StatedQuery:
    """One query of a recipe: its name in a mix, the key that states it, its SQL, and the file of that."""

    name: str
    key: Key
    sql: str
    file: Source | None = None


def whole_query(query: StatedQuery, origins: Origins) -> Span | None:
    """Where a query stands: its text in the recipe, or the name of its file there."""
    return origins.value(*query.key, "file") if query.file is not None else origins.value(*query.key)


def differing_columns(
    queries: Sequence[StatedQuery], found: Sequence[Described], origins: Origins
) -> Iterator[Finding]:
    """Queries of a mix that return other columns than the first one, or other types."""
    if any(described.problems or not described.columns for described in found):
        return
    first = {column.name: column.type for column in found[0].columns}
    for query, described in zip(queries[1:], found[1:], strict=True):
        own = {column.name: column.type for column in described.columns}
        differences = _differences(own, first)
        if differences:
            yield Finding(
                "FTC217",
                f"the query `{query.name}` returns other columns than `{queries[0].name}`",
                whole_query(query, origins),
                help=_mended(own, first),
                notes=differences,
            )


def _differences(own: dict[str, str], first: dict[str, str]) -> tuple[str, ...]:
    missing = [f"`{name}` {kind} is missing" for name, kind in first.items() if name not in own]
    more = [f"`{name}` {kind} is one too many" for name, kind in own.items() if name not in first]
    types = [
        f"`{name}` is {kind}, and {first[name]} in the other"
        for name, kind in own.items()
        if first.get(name, kind) != kind
    ]
    return (*missing, *more, *types)


def _mended(own: dict[str, str], first: dict[str, str]) -> tuple[str, ...]:
    """What to type for the first difference."""
    missing = [name for name in first if name not in own]
    spare = [name for name in own if name not in first]
    if missing and spare:
        return (f"name the column: {spare[0]} as {missing[0]}",)
    if missing:
        return (f"add it: null::{first[missing[0]].lower()} as {missing[0]}",)
    if spare:
        return (f"leave `{spare[0]}` out of the select list",)
    other = next(name for name in own if own[name] != first[name])
    return (f"cast it: {other}::{first[other].lower()} as {other}",)


def held_out_columns(
    recipe: Recipe, origins: Origins, rows: Described, held_out: Described | None
) -> Iterator[Finding]:
    """Columns of the split's query that the rows do not have, by which they could not be known."""
    if held_out is None or held_out.problems or rows.problems or not rows.columns:
        return
    there = {column.name: column.type for column in rows.columns}
    for column in held_out.columns:
        if column.name == recipe.data.id or recipe.data.id not in {c.name for c in held_out.columns}:
            yield from _unknown_to_rows(column.name, column.type, there, origins)


def _unknown_to_rows(name: str, kind: str, there: dict[str, str], origins: Origins) -> Iterator[Finding]:
    span = origins.value(*HELD_OUT)
    if name not in there:
        yield Finding(
            "FTC208",
            f"the split's query returns `{name}`, which the data's query does not return",
            span,
            help=did_you_mean(name, there) or ("return columns by which the held-out rows are known",),
            notes=(f"the data's query returns {', '.join(f'`{n}` {k}' for n, k in there.items())}",),
        )
    elif there[name] != kind:
        yield Finding(
            "FTC209",
            f"the split's query returns `{name}` as {kind}, and the data's query as {there[name]}",
            span,
            help=(f"cast it: {name}::{there[name].lower()} as {name}",),
        )


def suite_sql(suite: Eval, at: Key, origins: Origins) -> str:
    """The SQL of a suite, as far as it can be read; what is wrong with a file is said elsewhere."""
    if isinstance(suite.query, SqlFile):
        path = origins.directory(*at, "query") / suite.query.file
        return path.read_text("utf-8", errors="replace") if path.is_file() else ""
    return suite.query or ""


def named_in(sql: str) -> set[str]:
    """The names behind a `$` in SQL, without case."""
    return {name.casefold() for name in NAMED.findall(sql)}


def unused_parameters(found: Sequence[Described], recipe: Recipe, origins: Origins) -> Iterator[Finding]:
    """Parameters that the recipe gives and no query asks for, that of a suite included."""
    if any(described.asks is None for described in found):
        return
    asked = {name.casefold() for described in found for name in described.asks or ()}
    for at, suite in suites_of(recipe.eval):
        asked |= named_in(suite_sql(suite, at, origins))
    meant = {
        problem.meant for described in found for problem in described.problems if problem.code == "FTC218"
    }
    for name in recipe.data.parameters:
        if name.casefold() not in asked and name not in meant:
            yield Finding(
                "FTC218",
                f"no query uses the parameter `{name}`",
                origins.key("data", "parameters", name),
                help=(f"write ${name} in the SQL, or remove the parameter",),
            )
