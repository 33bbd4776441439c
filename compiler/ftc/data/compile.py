"""Compile data: query, render, mask, tokenise, split, account; cached by all that decides the bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ftc.data.problems import RowProblem, jobs_problem, killed_problem, query_problem, unfit_note
from ftc.data.query.ingest import Ingested, UnreadableSource, ingested
from ftc.data.query.result import Result
from ftc.data.query.run_query import QueryFailure, query_key
from ftc.data.query.ties import read_ties, write_ties
from ftc.data.selection.problem import SelectionProblem
from ftc.data.work.crew import Preparation, WorkerKilled
from ftc.data.work.workers import BadJobs, Workers, job_count
from ftc.facts.cache import Cache, CacheProblem, cache_key, code_digest
from ftc.lints.spec import library_versions
from ftc.plan.account import Ledger
from ftc.plan.steps import (
    DataStep,
    LimitStep,
    QueryStep,
    RenderStep,
    SelectionStep,
    SourceStep,
    SplitStep,
    TokenizerStep,
)

if TYPE_CHECKING:
    from ftc.data.selection.select import Selection

CODE = (
    "data",
    "facts/bounds.py",
    "facts/json_types.py",
    "facts/sources",
    "facts/sandbox.py",
    "facts/sql_aggregates.py",
    "facts/sql_order.py",
    "facts/sql_stability.py",
    "facts/sql_ties.py",
    "facts/sql_tree.py",
    "lints",
    "plan/account.py",
    "plan/steps/base.py",
    "plan/steps/model.py",
    "plan/steps/rows.py",
    "plan/steps/sources.py",
    "recipe/templates.py",
)
STEP = "step.json"
LARGE = 32 << 20
"""Bytes of sources from which on processes are started before it is known how many rows there are."""

EVERY_ROW = SelectionStep(sample=None, dedupe=None, seed=0)

Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Request:
    """Everything that decides the compiled bytes.

    With `look_at` at most so many rows are compiled, from which the others are estimated; what comes of it is
    never the whole data.
    """

    sources: tuple[SourceStep, ...]
    queries: tuple[QueryStep, ...]
    tokenizer: TokenizerStep
    tokenizer_sha256: str
    render: RenderStep
    limits: LimitStep
    split: SplitStep
    selection: SelectionStep = EVERY_ROW
    look_at: int | None = None


@dataclass(frozen=True)
class Locations:
    """Where the inputs are on this machine: each source's files in order, and tokenizer.json."""

    sources: Mapping[str, tuple[Path, ...]]
    tokenizer: Path


@dataclass(frozen=True)
class Compiled:
    """The compiled data and its directory, or the problems that prevented it.

    `ledger` is there as soon as the rows have been gone through, with problems too; `cached` says that
    nothing was read. `notes` say how the rows were made, where that is not as one would expect.
    """

    step: DataStep | None
    directory: Path | None
    problems: tuple[RowProblem, ...]
    cached: bool
    ledger: Ledger | None = None
    notes: tuple[RowProblem, ...] = ()


def request_key(request: Request) -> str:
    """The key under which the result is kept."""
    steps = (*request.queries, request.tokenizer, request.render, request.limits)
    steps = (*steps, request.selection, request.split)
    inputs: dict[str, Any] = {
        "sources": [source.model_dump(mode="json", exclude={"location"}) for source in request.sources],
        "steps": [step.model_dump(mode="json") for step in steps],
        "tokenizer": request.tokenizer_sha256,
    }
    if request.look_at is not None:
        inputs["look_at"] = request.look_at
    return cache_key("data", inputs, _libraries(request), code=code_digest(*CODE))


def _libraries(request: Request) -> dict[str, str | None]:
    """The versions of what only some requests are compiled with, and of what the lints look with."""
    dedupe, found = request.selection.dedupe, library_versions()
    if dedupe is not None and dedupe.method == "near":
        found |= {"rensa": version("rensa")}
    if request.render.form == "chat":
        found |= {"transformers": version("transformers")}  # the masks are proved against its rendering
    return found


def compile_data(
    request: Request, locations: Locations, *, cache: Cache, progress: Progress | None = None
) -> Compiled:
    """The compiled rows of a request, from the cache where they are; mistakes come back as problems."""
    key, said = request_key(request), progress or _silent
    try:
        return _whole(request, cache) or _stored(cache, key) or _made(request, locations, cache, key, said)
    except CacheProblem as problem:
        return _failed(RowProblem(problem.code, problem.message, (), help=(problem.help,)))
    except QueryFailure as failure:
        return _failed(query_problem(failure))
    except SelectionProblem as unselected:
        return _failed(unselected.problem)
    except BadJobs as stated:
        return _failed(jobs_problem(str(stated)))
    except WorkerKilled as killed:
        return _failed(killed_problem(str(killed)))
    except UnreadableSource as failure:
        message = f"the source `{failure.source}` cannot be read: {failure.reason}"
        at = ("data", "sources", failure.source)
        return _failed(RowProblem("FTC210", message, at, help=failure.help))


def _silent(stage: str, done: int, total: int | None) -> None:
    del stage, done, total


def _failed(*problems: RowProblem) -> Compiled:
    return Compiled(None, None, problems, cached=False)


def _stored(cache: Cache, key: str) -> Compiled | None:
    """The result of an earlier run. The bytes of the shards are checked by the runtime, against the plan."""
    directory = cache.entry("data", key)
    if directory is None:
        return None
    step = DataStep.model_validate_json((directory / STEP).read_bytes())
    return Compiled(step, directory, (), cached=True, ledger=step.ledger, notes=read_ties(directory))


def _whole(request: Request, cache: Cache) -> Compiled | None:
    """All rows, where they are compiled already though only some were to be looked at."""
    return None if request.look_at is None else _stored(cache, request_key(replace(request, look_at=None)))


def _made(request: Request, locations: Locations, cache: Cache, key: str, progress: Progress) -> Compiled:
    """Compile, or take what another process compiles at this moment."""
    waiting = "waiting for another process that compiles the same rows"
    with cache.alone("data", key, lambda: progress(waiting, 0, None)):
        return _stored(cache, key) or _compiled(request, locations, cache, key, progress)


def _compiled(request: Request, locations: Locations, cache: Cache, key: str, progress: Progress) -> Compiled:
    from ftc.data.selection.select import select

    with cache.scratch() as scratch:
        with ExitStack() as opened:
            started = _started(request, locations, scratch)
            if started is not None:
                opened.callback(started.stop)
            progress("reading sources", 0, None)
            sources = _sources(request, locations, cache, progress)
            progress("running the query", 0, None)
            results = [
                opened.enter_context(Result(query, sources, scratch / f"query-{number}"))
                for number, query in enumerate(request.queries)
            ]
            progress("selecting rows", 0, None)
            look_at = request.look_at
            selection = select(request.selection, request.split, results, sources, scratch, look_at)
            if all(stratum.looked_at == stratum.rows for stratum in selection.strata):
                key, selection.strata = request_key(replace(request, look_at=None)), ()
            made = _by_backends(request, locations, sources, selection, _Site(scratch, started), progress)
        if made.step is None or made.directory is None:
            return made
        (made.directory / STEP).write_text(made.step.model_dump_json(), encoding="utf-8")
        for result in results:
            write_ties(made.directory, query_key(result.query), result.ties)
        notes = made.notes + read_ties(made.directory)
        return replace(made, directory=cache.adopt("data", key, made.directory), notes=notes)


class _Site(NamedTuple):
    """A directory that goes afterwards, and processes that may have been started."""

    scratch: Path
    started: Workers | None


def _started(request: Request, locations: Locations, scratch: Path) -> Workers | None:
    """Processes that load while the sources are read, where there may well be rows enough for them."""
    from ftc.data.tokens.encoders import REFERENCE, installed

    jobs, files = job_count(), [path for paths in locations.sources.values() for path in paths]
    size = sum(path.stat().st_size for path in files if path.is_file())
    if request.look_at is not None or jobs == 1 or size < LARGE:
        return None
    backend = REFERENCE if request.render.convention == "trl" else installed()[0]
    workers = Workers(Preparation(locations.tokenizer, backend, request.render.form == "chat"), jobs, scratch)
    workers.start()
    return workers


def _by_backends(
    request: Request,
    locations: Locations,
    sources: Ingested,
    selection: Selection,
    site: _Site,
    progress: Progress,
) -> Compiled:
    """The rows by the first tokenizer library that serves: one that does not leaves nothing but a note."""
    from ftc.data.pipeline import Pipeline
    from ftc.data.tokens.encoders import REFERENCE, Unfit, installed

    notes: tuple[RowProblem, ...] = ()
    for backend in installed():
        directory = site.scratch / f"data-{backend}"
        directory.mkdir()
        pipeline = Pipeline(request, locations, selection, directory, progress, backend)
        try:
            step, ledger, problems = pipeline.run(sources.accounts, site.started)
        except Unfit as unfit:
            notes += (unfit_note(backend, REFERENCE, str(unfit)),)
        else:
            return Compiled(
                step, directory if step else None, problems, cached=False, ledger=ledger, notes=notes
            )
    raise AssertionError("the reference always serves")


def _sources(request: Request, locations: Locations, cache: Cache, progress: Progress) -> Ingested:
    """The rows of the sources that the queries read; each source is read once for many queries."""
    return ingested(used_sources(request), locations.sources, cache, progress)


def used_sources(request: Request) -> tuple[SourceStep, ...]:
    """The sources that a request's queries read."""
    from ftc.facts import sql_tree
    from ftc.facts.sandbox import connect

    queries = [query.sql for query in (*request.queries, request.split.query) if query is not None]
    con = connect()
    try:
        trees = [sql_tree.parse(con, sql) for sql in queries]
    finally:
        con.close()
    declared = [source.name for source in request.sources]
    names = {name for tree in trees if tree for name in sql_tree.read_sources(tree, declared)}
    return tuple(source for source in request.sources if source.name in names)
