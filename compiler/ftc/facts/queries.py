"""The queries that a recipe states, in it or in files, and what DuckDB says of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ftc.diagnostics import Finding, Severity, Source, Span
from ftc.facts.cache import Cache, cache_key, code_digest
from ftc.facts.query import CODE, Described, describe
from ftc.facts.query_columns import (
    HELD_OUT,
    QUERY,
    StatedQuery,
    differing_columns,
    held_out_columns,
    unused_parameters,
)
from ftc.facts.sandbox import identifier
from ftc.facts.sources import ResolvedSource
from ftc.facts.sql_problems import SqlProblem
from ftc.facts.sql_stability import CODE as WARNING
from ftc.recipe.layers import Key, Origins
from ftc.recipe.model import Recipe
from ftc.recipe.rows import Parameter, Query, SourceFiles, SqlFile
from ftc.recipe.suggest import did_you_mean, listed


@dataclass(frozen=True)
class Queries:
    """What DuckDB says of a recipe's queries: those that make examples, and the one of the split.

    Empty, or None, where one of them cannot be read.
    """

    rows: tuple[Described, ...] = ()
    held_out: Described | None = None


def stated_queries(recipe: Recipe, origins: Origins) -> tuple[tuple[StatedQuery, ...], tuple[Finding, ...]]:
    """Every query whose rows become examples, those of a mix by name, and why others cannot be read."""
    if recipe.data.mix is not None:
        parts = [
            _stated(name, ("data", "mix", name, "query"), part.query, origins)
            for name, part in sorted(recipe.data.mix.items())
        ]
    elif recipe.data.query is not None:
        parts = [_stated("", QUERY, recipe.data.query, origins)]
    else:
        parts = [_every_row(recipe, origins)]
    queries = tuple(part for part in parts if isinstance(part, StatedQuery))
    return queries, tuple(part for part in parts if isinstance(part, Finding))


def _every_row(recipe: Recipe, origins: Origins) -> StatedQuery | Finding:
    if len(recipe.data.sources) == 1:
        sql = f"select * from {identifier(next(iter(recipe.data.sources)))}"  # noqa: S608 - a declared name
        return StatedQuery("", QUERY, sql)
    return Finding(
        "FTC106",
        "with several sources the recipe must say how rows are made of them",
        origins.key("data"),
        help=('add a query: query = "select … from …"',),
        notes=(f"the sources are {listed(recipe.data.sources)}",),
    )


def _stated(name: str, key: Key, query: Query, origins: Origins) -> StatedQuery | Finding:
    if isinstance(query, SqlFile):
        text = _file_text(query, key, origins)
        return text if isinstance(text, Finding) else StatedQuery(name, key, text.text, text)
    return StatedQuery(name, key, query)


def _file_text(query: SqlFile, key: Key, origins: Origins) -> Source | Finding:
    path: Path = origins.directory(*key) / query.file
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        reason, help_ = "there is no such file", _sql_files(path)
    except IsADirectoryError:
        reason, help_ = "it is a directory", ("name the .sql file in it",)
    except UnicodeDecodeError:
        reason, help_ = "it is not UTF-8", ("save it as UTF-8",)
    except OSError as error:
        reason, help_ = error.strerror or str(error), ("check its permissions",)
    else:
        return Source(query.file, text)
    message = f"the query file `{query.file}` cannot be read: {reason}"
    return Finding("FTC214", message, origins.value(*key, "file"), help=help_)


def _sql_files(path: Path) -> tuple[str, ...]:
    """What a query file that is not there may be meant to be."""
    beside = sorted(path.parent.glob("*.sql"))
    near = did_you_mean(path.name, [other.name for other in beside])
    return near or ("the path is relative to the recipe in which it stands",)


def query_findings(
    recipe: Recipe,
    origins: Origins,
    sources: Sequence[ResolvedSource],
    cache: Cache | None = None,
    *,
    unread: Sequence[str] = (),
) -> tuple[Queries, tuple[Finding, ...]]:
    """What each of the recipe's queries returns, with every mistake at its place in the recipe or .sql file.

    `unread` are the sources that cannot be read, of which something is said elsewhere.
    """
    stated, unreadable = stated_queries(recipe, origins)
    held_out = recipe.data.split.query
    last = None if held_out is None else _stated("", HELD_OUT, held_out, origins)
    if isinstance(last, Finding):
        unreadable, last = (*unreadable, last), None
    asked = [query for query in (*stated, last) if query is not None]
    parameters = recipe.data.parameters
    found = [_remembered(sources, query, unread, parameters, cache or Cache()) for query in asked]
    findings = [*unreadable, *_findings(asked, found, recipe, origins)]
    if not unreadable:
        findings += unused_parameters(found, recipe, origins)
    if unreadable:
        return Queries(), tuple(dict.fromkeys(findings))
    rows = tuple(found[: len(stated)])
    findings += differing_columns(stated, rows, origins)
    findings += held_out_columns(recipe, origins, rows[0], found[-1] if last else None)
    return Queries(rows, found[-1] if last else None), tuple(dict.fromkeys(findings))


def _findings(
    asked: Sequence[StatedQuery], found: Sequence[Described], recipe: Recipe, origins: Origins
) -> list[Finding]:
    return [
        _finding(problem, query, recipe, origins)
        for query, described in zip(asked, found, strict=True)
        for problem in (*described.problems, *described.warnings)
    ]


def _remembered(
    sources: Sequence[ResolvedSource],
    query: StatedQuery,
    unread: Sequence[str],
    parameters: Mapping[str, Parameter],
    cache: Cache,
) -> Described:
    steps = [source.step.model_dump(mode="json") for source in sources]
    inputs = {"sources": steps, "sql": query.sql, "unread": list(unread), "parameters": dict(parameters)}
    key = cache_key("describe", inputs, {"duckdb": version("duckdb")}, code=code_digest(*CODE))
    known = cache.recall("describe", key)
    if known is not None:
        described = Described.model_validate_json(known)
    else:
        described = describe(sources, query.sql, unread, parameters)
        cache.remember("describe", key, described.model_dump_json().encode())
    file = "" if query.file is None else query.file.name
    return described.model_copy(update={"name": query.name, "file": file})


def _finding(problem: SqlProblem, query: StatedQuery, recipe: Recipe, origins: Origins) -> Finding:
    return Finding(
        problem.code,
        problem.message,
        _span(problem, query, recipe, origins),
        help=problem.help,
        notes=problem.notes,
        severity=Severity.WARNING if problem.code == WARNING else Severity.ERROR,
    )


def _span(problem: SqlProblem, query: StatedQuery, recipe: Recipe, origins: Origins) -> Span | None:
    if problem.source is not None:
        return _source_span(recipe, origins, problem.source)
    if query.file is not None:
        return Span(query.file, problem.start, problem.end)
    if query.key == QUERY and recipe.data.query is None:
        return origins.key("data")
    return origins.inside(query.key, problem.start, problem.end)


def _source_span(recipe: Recipe, origins: Origins, name: str) -> Span | None:
    key = ("data", "sources", name)
    is_table = isinstance(recipe.data.sources[name], SourceFiles)
    return origins.value(*key, "path") if is_table else origins.value(*key)
