"""The suites of a recipe with rows of their own: their sources and queries, and the user's metrics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc import objectives
from ftc.diagnostics import Finding, Span
from ftc.facts.cache import Cache
from ftc.facts.first_look import look_at_columns, look_at_queries, look_at_sources
from ftc.facts.metric_files import MetricFile, metric_file
from ftc.facts.query import Described
from ftc.facts.query_columns import named_in, suite_sql
from ftc.facts.sources import ResolvedSource
from ftc.facts.sources.place import Reach
from ftc.facts.tasks import Tasks, tasks_of
from ftc.recipe.evaluation import Eval, PythonMetric, suites_of
from ftc.recipe.layers import Key, Origins
from ftc.recipe.model import Data, Recipe, Render
from ftc.recipe.partial import NOTHING, Known
from ftc.recipe.rows import SourceEntry
from ftc.recipe.suggest import closest, listed
from ftc.recipe.templates import FIELDS, undefined_variables

if TYPE_CHECKING:
    from ftc.facts.gather import Facts

SHIPPED = "package://ftc/evaluation/suites/{}.jsonl"
PROMPT, REFERENCE = "prompt", "reference"
TRAINED = ("completion", "messages", "chosen", "text", "anchor")
"""Columns of which a row with a prompt is one as the training rows are."""


class SuiteOrigins(Origins):
    """The places of a recipe, seen from a suite: its query and sources stand where those of [data] do."""

    def __init__(self, origins: Origins, suite: Key, moved: tuple[str, ...]) -> None:
        super().__init__(origins.layers, origins.main)
        self._suite, self._own = suite, moved

    def _at(self, path: Key) -> Key:
        if path[:1] == ("data",) and len(path) > 1 and path[1] in self._own:
            return (*self._suite, *path[1:])
        return path

    def key(self, *path: str | int) -> Span | None:
        """The key of a setting, or of the nearest table around it that exists in a text."""
        return super().key(*self._at(path))

    def value(self, *path: str | int) -> Span | None:
        """The value of a setting, or of the nearest table around it that exists in a text."""
        return super().value(*self._at(path))

    def inside(self, path: Key, start: int, end: int) -> Span | None:
        """Characters of a decoded string value, as they stand in the text."""
        return super().inside(self._at(path), start, end)

    def directory(self, *path: str | int) -> Path:
        """The directory against which a relative path written at this place resolves."""
        return super().directory(*self._at(path))


@dataclass(frozen=True)
class SuiteFacts:
    """A suite as it was found: `recipe` is the recipe with the suite's rows in place of the training rows.

    `query` is None for the held-out rows. Where rows have no `references` they are prompts alone.
    """

    at: Key
    name: str
    settings: Eval
    recipe: Recipe
    origins: Origins
    sources: tuple[ResolvedSource, ...] = ()
    query: Described | None = None
    references: bool = True
    functions: tuple[MetricFile, ...] = ()
    tasks: Tasks | None = None


def suite_name(suite: Eval) -> str:
    """A suite's name in reports."""
    if suite.tasks is not None:
        return suite.name or "harness"
    return suite.name or suite.suite or ("query" if suite.own_rows else "held_out")


def look_at_suites(
    recipe: Recipe, origins: Origins, cache: Cache, known: Known, reach: Reach,
    sources: tuple[ResolvedSource, ...],
) -> tuple[tuple[SuiteFacts, ...], tuple[Finding, ...]]:  # fmt: skip
    """Each suite with its rows' columns and its own metrics, and everything that is wrong with them."""
    suites: list[SuiteFacts] = []
    findings: list[Finding] = []
    for at, suite in () if known.takes("eval") else suites_of(recipe.eval):
        functions, wrong = _functions(suite, at, origins)
        found = SuiteFacts(at, suite_name(suite), suite, recipe, origins, functions=functions)
        if suite.tasks is not None:
            tasks = tasks_of(suite, at, origins)
            wrong += tasks if isinstance(tasks, tuple) else ()
            found = replace(found, tasks=tasks if isinstance(tasks, Tasks) else None)
        elif suite.own_rows:
            found, more = _own_rows(found, cache, reach, sources)
            wrong += more
        suites.append(found)
        known_rows = found.query is not None or not suite.own_rows
        findings += [*wrong, *(_checked(found) if known_rows else ())]
    return tuple(suites), tuple(findings)


def _functions(suite: Eval, at: Key, origins: Origins) -> tuple[tuple[MetricFile, ...], tuple[Finding, ...]]:
    entries = [
        metric_file(entry, (*at, "metrics", number, "python"), origins)
        for number, entry in enumerate(suite.metrics or ())
        if isinstance(entry, PythonMetric)
    ]
    files = tuple(entry for entry in entries if isinstance(entry, MetricFile))
    return files, tuple(entry for entry in entries if isinstance(entry, Finding))


def _checked(found: SuiteFacts) -> Iterator[Finding]:
    """What the metrics themselves say of the options and columns that they are given, and of the judge."""
    from ftc.evaluation import load

    suite, origins = found.settings, found.origins
    options = options_of(suite, tuple(column.name for column in found.query.columns) if found.query else ())
    for number, entry in enumerate(suite.metrics or ()):
        if isinstance(entry, str):
            span = origins.value(*found.at, "metrics", number)
            yield from (replace(one, span=one.span or span) for one in load(entry).problems(options))
    yield from _unfit_judge(found)


def _unfit_judge(found: SuiteFacts) -> Iterator[Finding]:
    suite, judge = found.settings, found.settings.judge
    if judge is not None:
        from ftc.evaluation.judge import problems

        key = judge.key.env if judge.key else None
        span = found.origins.value(*found.at, "judge")
        yield from (replace(one, span=span) for one in problems(judge.endpoint, key, judge.prompt))
    elif "judge" in (suite.metrics or ()):
        span = found.origins.value(*found.at, "metrics")
        help_ = 'name it: judge = { endpoint = "http://localhost:8000/v1", model = "…" }'
        yield Finding("FTC577", "the suite names no judge", span, help=(help_,))


def options_of(suite: Eval, columns: tuple[str, ...]) -> Any:
    """The options that metrics read, as `ftc.evaluation` has them."""
    from ftc.evaluation import Options

    stated: dict[str, Any] = suite.options
    return Options(labels=suite.labels or (), columns=frozenset(columns), **stated)


def _own_rows(
    found: SuiteFacts, cache: Cache, reach: Reach, sources: tuple[ResolvedSource, ...]
) -> tuple[SuiteFacts, tuple[Finding, ...]]:
    suite = found.settings
    if suite.suite is not None:
        from ftc.evaluation.suites import SUITES

        if suite.suite not in SUITES or suite.query is not None or suite.sources is not None:
            return found, ()
    recipe, origins = _variant(found)
    shared = suite.suite is None and suite.sources is None
    seen = (sources, (), ()) if shared else look_at_sources(recipe, origins, cache, NOTHING, reach)
    if len(seen[0]) < len(recipe.data.sources):
        return found, seen[2]
    queries, problems = look_at_queries(recipe, origins, cache, NOTHING, seen)
    found = replace(found, recipe=recipe, origins=origins, sources=seen[0])
    if not queries.rows or not queries.rows[0].columns:
        return found, (*seen[2], *problems)
    query = queries.rows[0]
    columns = {column.name: column.type for column in query.columns}
    if headed(recipe):
        found = replace(found, recipe=recipe, query=query)
        return found, (*seen[2], *problems, *look_at_columns(recipe, origins, NOTHING, query))
    recipe, references = _rendered(recipe, columns, origins)
    found = replace(found, recipe=recipe, query=query, references=references)
    misfits = _misfits(found, columns) or look_at_columns(recipe, origins, NOTHING, query)
    return found, (*seen[2], *problems, *misfits)


def _variant(found: SuiteFacts) -> tuple[Recipe, Origins]:
    """The recipe whose data are the suite's rows, and where its settings stand."""
    suite, data = found.settings, found.recipe.data
    sources: dict[str, SourceEntry] = dict(suite.sources or data.sources)
    moved = tuple(key for key in ("sources", "query") if getattr(suite, key) is not None)
    moved = (*moved, *(("parameters",) if suite.parameters else ()))
    if suite.suite is not None:
        sources, moved = {"rows": SHIPPED.format(suite.suite)}, ("sources", "query")
    origins = SuiteOrigins(found.origins, found.at, moved)
    names = named_in(suite_sql(suite, found.at, found.origins))
    shared = {key: value for key, value in data.parameters.items() if key.casefold() in names}
    own = Data(
        sources=sources,
        query=suite.query,
        parameters=shared | suite.parameters,
        redact=data.redact,
        invalid=data.invalid,
        id="id" if suite.suite is not None else None,
    )
    train = found.recipe.train
    if not headed(found.recipe) or suite.suite is not None:
        train = train.model_copy(update={"objective": None})
    return found.recipe.model_copy(update={"data": own, "train": train, "eval": Eval()}), origins


def headed(recipe: Recipe) -> bool:
    """Whether the recipe names an objective whose model writes no text: its suites have rows as it has."""
    name = recipe.train.objective_name
    return name in objectives.OBJECTIVES and objectives.load(name).loads.head != "vocabulary"


def _rendered(recipe: Recipe, columns: dict[str, str], origins: Origins) -> tuple[Recipe, bool]:
    """The recipe with the rendering that fits a suite's columns, and whether its rows have references.

    Rows like the training rows are rendered as those are. A `prompt` is what the user says, and a `reference`
    what the assistant would answer.
    """
    render = recipe.render
    stated = any(getattr(render, key) is not None for key in FIELDS if key != "system")
    if stated and not undefined_variables(recipe, origins, tuple(columns)):
        return recipe, True
    plain = {key: None for key in FIELDS if key != "system"}
    own: dict[str, Any] = render.model_dump() | plain
    trained = any(name in columns for name in TRAINED)
    references = trained or REFERENCE in columns
    if not trained and PROMPT in columns:
        own["completion"] = f"{{{{ {REFERENCE} }}}}" if references else "-"
    own["train_on"] = None
    return recipe.model_copy(update={"render": Render(**own)}), references


def _misfits(found: SuiteFacts, columns: dict[str, str]) -> tuple[Finding, ...]:
    """A suite whose rows have neither a prompt nor what the training rows have."""
    stated = any(getattr(found.recipe.render, key) is not None for key in FIELDS if key != "system")
    if stated or PROMPT in columns or any(name in columns for name in TRAINED):
        return ()
    span = found.origins.value("data", "query") or found.origins.value(*found.at)
    meant = [f"name the column: {name} as {PROMPT}" for name in closest(PROMPT, columns)]
    near = tuple(meant) or ("name the columns: select … as prompt, … as reference",)
    notes = (f"it returns {listed(columns)}",)
    message = f"the query of the suite `{found.name}` returns no column `{PROMPT}`"
    return (Finding("FTC563", message, span, help=near, notes=notes),)


def with_all_baselines(facts: Facts) -> Facts:
    """The facts with every baseline for each suite that looks at answers."""
    from ftc.evaluation import METRICS, load

    def whole(suite: SuiteFacts) -> SuiteFacts:
        names = [name for name in suite.settings.metrics or () if isinstance(name, str) and name in METRICS]
        if suite.tasks is not None:
            return suite
        if names and all(load(name).needs == "loss" for name in names):
            return suite
        every = suite.settings.model_copy(update={"baselines": ("few_shot", "retrieval")})
        return replace(suite, settings=every)

    return replace(facts, suites=tuple(map(whole, facts.suites)))
