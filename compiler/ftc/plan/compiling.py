"""The data compiler as the pass `data` is given it: a function of the plan so far."""

from __future__ import annotations

from pathlib import Path

from ftc.data.compile import Compiled as CompiledData
from ftc.data.compile import Locations, Progress, Request, compile_data
from ftc.data.problems import RowProblem
from ftc.diagnostics import Finding
from ftc.facts.cache import Cache
from ftc.facts.gather import Facts
from ftc.plan.context import Compiled
from ftc.plan.steps import Plan
from ftc.recipe.load import Origins


def request_of(plan: Plan, facts: Facts) -> Request:
    """What of the plan decides the compiled bytes."""
    assert plan.sources is not None  # noqa: S101 - the order of the passes
    assert plan.queries is not None  # noqa: S101
    assert plan.tokenizer is not None  # noqa: S101
    assert plan.render is not None  # noqa: S101
    assert plan.limits is not None  # noqa: S101
    assert plan.split is not None  # noqa: S101
    return Request(
        sources=plan.sources,
        queries=plan.queries,
        tokenizer=plan.tokenizer,
        tokenizer_sha256=facts.model.tokenizer.sha256,
        render=plan.render,
        limits=plan.limits,
        split=plan.split,
    )


class DataCompiler:
    """The data compiler over the files where they are on this machine; `directory` has its last result."""

    def __init__(self, facts: Facts, origins: Origins, cache: Cache, progress: Progress | None) -> None:
        self._facts, self._origins = facts, origins
        self._cache, self._progress = cache, progress
        self.directory: Path | None = None

    def __call__(self, plan: Plan) -> Compiled:
        """Compile the rows of a plan, or find them in the cache."""
        locations = Locations(
            sources={source.step.name: source.paths for source in self._facts.sources},
            tokenizer=self._facts.model.tokenizer.file,
        )
        request = request_of(plan, self._facts)
        done = compile_data(request, locations, cache=self._cache, progress=self._progress)
        self.directory = done.directory
        return Compiled(done.step, _findings(done, self._origins))


def _findings(done: CompiledData, origins: Origins) -> tuple[Finding, ...]:
    return tuple(_finding(problem, origins) for problem in done.problems)


def _finding(problem: RowProblem, origins: Origins) -> Finding:
    span = origins.value(*problem.at) if problem.at else None
    if problem.inside is not None:
        span = origins.inside(problem.at, *problem.inside) or span
    return Finding(
        problem.code,
        problem.message,
        span,
        place=problem.place,
        help=problem.help,
        notes=problem.notes,
    )
