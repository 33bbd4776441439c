"""Compile data: query, render, mask, tokenise, split, account; cached by all that decides the bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ftc.data.ingest import UnreadableSource, ingest, read_accounts
from ftc.data.problems import RowProblem, jobs_problem, killed_problem, query_problem
from ftc.data.result import Result
from ftc.data.run_query import QueryFailure
from ftc.data.workers import BadJobs, WorkerKilled
from ftc.facts.cache import Cache, CacheProblem, cache_key, code_digest
from ftc.plan.steps import (
    DataStep,
    Ledger,
    LimitStep,
    QueryStep,
    RenderStep,
    SourceStep,
    SplitStep,
    TokenizerStep,
)

CODE = (
    "data",
    "facts/bounds.py",
    "facts/json_types.py",
    "facts/readers.py",
    "facts/sandbox.py",
    "facts/sql_tree.py",
    "plan/steps.py",
    "recipe/templates.py",
)
STEP = "step.json"

Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Request:
    """Everything that decides the compiled bytes."""

    sources: tuple[SourceStep, ...]
    queries: tuple[QueryStep, ...]
    tokenizer: TokenizerStep
    tokenizer_sha256: str
    render: RenderStep
    limits: LimitStep
    split: SplitStep


@dataclass(frozen=True)
class Locations:
    """Where the inputs are on this machine: each source's files in order, and tokenizer.json."""

    sources: Mapping[str, tuple[Path, ...]]
    tokenizer: Path


@dataclass(frozen=True)
class Compiled:
    """The compiled data and its directory, or the problems that prevented it.

    `ledger` is there as soon as the rows have been gone through, with problems too; `cached` says that
    nothing was read.
    """

    step: DataStep | None
    directory: Path | None
    problems: tuple[RowProblem, ...]
    cached: bool
    ledger: Ledger | None = None


def request_key(request: Request) -> str:
    """The key under which the result is kept."""
    steps = (*request.queries, request.tokenizer, request.render, request.limits, request.split)
    inputs = {
        "sources": [source.model_dump(mode="json", exclude={"location"}) for source in request.sources],
        "steps": [step.model_dump(mode="json") for step in steps],
        "tokenizer": request.tokenizer_sha256,
    }
    return cache_key("data", inputs, {}, code=code_digest(*CODE))


def compile_data(
    request: Request, locations: Locations, *, cache: Cache, progress: Progress | None = None
) -> Compiled:
    """The compiled rows of a request, from the cache where they are; mistakes come back as problems."""
    key, said = request_key(request), progress or _silent
    try:
        return _stored(cache, key) or _made(request, locations, cache, key, said)
    except CacheProblem as problem:
        return _failed(RowProblem(problem.code, problem.message, (), help=(problem.help,)))
    except QueryFailure as failure:
        return _failed(query_problem(failure))
    except BadJobs as stated:
        return _failed(jobs_problem(str(stated)))
    except WorkerKilled as killed:
        return _failed(killed_problem(str(killed)))
    except UnreadableSource as failure:
        message = f"the source `{failure.source}` cannot be read: {failure.reason}"
        return _failed(RowProblem("FTC210", message, ("data", "sources", failure.source)))


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
    return Compiled(step, directory, (), cached=True, ledger=step.ledger)


def _made(request: Request, locations: Locations, cache: Cache, key: str, progress: Progress) -> Compiled:
    """Compile, or take what another process compiles at this moment."""
    waiting = "waiting for another process that compiles the same rows"
    with cache.alone("data", key, lambda: progress(waiting, 0, None)):
        return _stored(cache, key) or _compiled(request, locations, cache, key, progress)


def _compiled(request: Request, locations: Locations, cache: Cache, key: str, progress: Progress) -> Compiled:
    from ftc.data.pipeline import Pipeline

    progress("reading sources", 0, None)
    sources = _sources(request, locations, cache)
    accounts = read_accounts(sources)
    with cache.scratch() as scratch:
        directory = scratch / "data"
        directory.mkdir()
        progress("running the query", 0, None)
        with ExitStack() as opened:
            results = [
                opened.enter_context(Result(query, sources, accounts, scratch / f"query-{number}"))
                for number, query in enumerate(request.queries)
            ]
            pipeline = Pipeline(request, locations, results, directory, progress)
            step, ledger, problems = pipeline.run(accounts)
        if step is None:
            return Compiled(None, None, problems, cached=False, ledger=ledger)
        (directory / STEP).write_text(step.model_dump_json(), encoding="utf-8")
        return Compiled(step, cache.adopt("data", key, directory), (), cached=False, ledger=ledger)


def _sources(request: Request, locations: Locations, cache: Cache) -> Path:
    """The directory with the rows of the sources that the query reads; read once for many queries."""
    used = _used(request)
    inputs = {"sources": [source.model_dump(mode="json", exclude={"location"}) for source in used]}
    key = cache_key("sources", inputs, {}, code=code_digest(*CODE))
    with cache.alone("sources", key):
        found = cache.entry("sources", key, deep=True)
        if found is not None:
            return found
        with cache.scratch() as scratch:
            directory = scratch / "sources"
            directory.mkdir()
            ingest(used, locations.sources, directory)
            return cache.adopt("sources", key, directory)


def _used(request: Request) -> tuple[SourceStep, ...]:
    from ftc.facts import sql_tree
    from ftc.facts.sandbox import connect

    con = connect()
    try:
        tree = sql_tree.parse(con, request.queries[0].sql)
    finally:
        con.close()
    names = sql_tree.read_sources(tree, [source.name for source in request.sources]) if tree else ()
    return tuple(source for source in request.sources if source.name in names)
