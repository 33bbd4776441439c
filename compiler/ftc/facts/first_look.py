"""Sources, query and columns of a recipe that may have mistakes: what follows from those is not said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ftc.diagnostics import Finding
from ftc.facts.cache import Cache
from ftc.facts.columns import fit_findings, missing_columns
from ftc.facts.queries import Queries, query_findings
from ftc.facts.query import Described
from ftc.facts.sources import ResolvedSource, resolve_source
from ftc.facts.sources.place import HERE, Reach
from ftc.recipe.language import translated
from ftc.recipe.load import Origins
from ftc.recipe.model import Recipe, Render
from ftc.recipe.partial import Known
from ftc.recipe.suggest import closest
from ftc.recipe.templates import FIELDS, undefined_variables

FORMS = (*FIELDS, "chat")
"""The keys of [render] that decide what a row becomes."""

TYPES = ("FTC102", "FTC103", "FTC104", "FTC105", "FTC107")
"""Codes after which a setting is not what was meant."""

INNER = ("FTC204", "FTC207", "FTC215")
"""Codes of what is wrong inside a query and leaves the names that it returns as they are."""

Sources = tuple[tuple[ResolvedSource, ...], tuple[str, ...], tuple[Finding, ...]]


def look_at_sources(
    recipe: Recipe, origins: Origins, cache: Cache, known: Known, reach: Reach = HERE
) -> Sources:
    """The sources that can be read, the names of those that cannot, and why not."""
    resolved: list[ResolvedSource] = []
    findings: list[Finding] = []
    refused = (key[2] for key in known.gone if key[:2] == ("data", "sources") and len(key) > 2)
    unread = {str(name) for name in refused}
    for name in recipe.data.sources:
        if known.takes("data", "sources", name, "path"):
            continue
        found = resolve_source(recipe, name, origins, cache, reach)
        doubted = _doubted(recipe, name, known)
        if isinstance(found, ResolvedSource) and not doubted:
            resolved.append(found)
            findings += found.warnings
            continue
        unread.add(name)
        wrong = found if isinstance(found, tuple) else ()
        findings += [finding for finding in wrong if not doubted or finding.code == "FTC201"]
    return tuple(resolved), tuple(sorted(unread)), tuple(findings)


def _doubted(recipe: Recipe, name: str, known: Known) -> bool:
    """Whether something is said of how a source is read, or of a name that it shares with another."""
    key = ("data", "sources", name)
    codes = {code for code, _ in known.within(*key)}
    alike = [other for other in recipe.data.sources if other.casefold() == name.casefold()]
    shared = name != alike[0]
    return bool(codes - {"FTC111"}) or shared or known.takes(*key)


def look_at_queries(
    recipe: Recipe, origins: Origins, cache: Cache, known: Known, sources: Sources
) -> tuple[Queries, tuple[Finding, ...]]:
    """What each query returns, and what is wrong with it."""
    if not _queries_stand(recipe, known):
        return Queries(), ()
    resolved, unread, _ = sources
    described, findings = query_findings(recipe, origins, resolved, cache, unread=unread)
    dropped = _following(known)
    return described, tuple(finding for finding in findings if finding.code not in dropped)


def _queries_stand(recipe: Recipe, known: Known) -> bool:
    """Whether the queries that the recipe has, or lacks, are those that are meant."""
    for key in (("query",), ("mix",), ("parameters",), ("split", "query")):
        if known.takes("data", *key) or any(code in TYPES for code, _ in known.within("data", *key)):
            return False
    if recipe.data.query is not None or recipe.data.mix is not None:
        return True
    return len(recipe.data.sources) == 1 and not known.lost and not known.unknown_keys("data")


def _following(known: Known) -> tuple[str, ...]:
    """Codes of SQL that may come of what is wrong with the declared sources."""
    if any(code == "FTC111" for code, _ in known.within("data", "sources")):
        return ("FTC203", "FTC205")
    return ("FTC205",) if known.lost or known.gone & {("data",), ("data", "sources")} else ()


def look_at_columns(recipe: Recipe, origins: Origins, known: Known, query: Described) -> tuple[Finding, ...]:
    """Columns and variables that the recipe names and the query does not return; the objective they make."""
    if query.problems or not query.columns:
        return _certainly_missing(recipe, origins, query)
    columns = {column.name: column.type for column in query.columns}
    variables = undefined_variables(recipe, origins, tuple(columns))
    missing = missing_columns(recipe, origins, columns)
    if not form_stands(known):
        return (*variables, *missing)
    if known.within("train", "objective"):
        train = recipe.train.model_copy(update={"objective": None})
        recipe = recipe.model_copy(update={"train": train})
    return (*variables, *missing, *fit_findings(recipe, origins, columns))


def _certainly_missing(recipe: Recipe, origins: Origins, query: Described) -> tuple[Finding, ...]:
    """Names that the query would not return either if its own mistakes were mended."""
    if query.perhaps is None or any(problem.code not in INNER for problem in query.problems):
        return ()
    perhaps = dict.fromkeys(query.perhaps, "")
    found: Iterable[Finding] = (
        *undefined_variables(recipe, origins, tuple(perhaps)),
        *missing_columns(recipe, origins, perhaps),
    )
    return tuple(replace(finding, notes=()) for finding in found)


def form_stands(known: Known) -> bool:
    """Whether what rows are made into is what is meant, as far as the recipe says it."""
    if known.lost or any(known.takes("render", key) for key in FORMS) or known.takes("render"):
        return False
    wrong = {str(key[1]) for code, key in known.within("render") if code in TYPES and len(key) > 1}
    if wrong & set(FORMS):
        return False
    return not any(
        _may_mean(key, Render.model_fields, FORMS) for key in known.unknown_keys("render")
    ) and not any(_may_mean(key, Recipe.model_fields, ("render",)) for key in known.unknown_keys())


def _may_mean(key: str, table: Iterable[str], wanted: Iterable[str]) -> bool:
    """Whether an unknown key may be meant to be one of several keys of its table."""
    near = closest(key, table)
    return near[0] in wanted if near else not translated(key, ())
