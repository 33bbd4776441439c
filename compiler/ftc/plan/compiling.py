"""The data compiler as the pass `data` is given it: a function of the plan so far."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.data.compile import Compiled as CompiledData
from ftc.data.compile import Locations, Progress, Request, compile_data
from ftc.data.packing.laid_out import laid_out
from ftc.data.problems import RowProblem
from ftc.diagnostics import Finding, Severity, Source, Span
from ftc.facts.cache import Cache
from ftc.facts.gather import Facts
from ftc.facts.query import Described
from ftc.facts.query_columns import HELD_OUT, QUERY
from ftc.lints import LintResult, kept
from ftc.plan.context import Compiled
from ftc.plan.steps import DataStep, Plan, Sequences
from ftc.recipe.layers import Key
from ftc.recipe.load import Origins

if TYPE_CHECKING:
    from ftc.data.kept.lineage import CompiledRows
    from ftc.data.query.self_test import SelfTest
    from ftc.plan.sampled import Sampling


def request_of(plan: Plan) -> Request:
    """What of the plan decides the compiled bytes."""
    assert plan.sources is not None  # noqa: S101 - the order of the passes
    assert plan.queries is not None  # noqa: S101
    assert plan.model is not None  # noqa: S101
    assert plan.tokenizer is not None  # noqa: S101
    assert plan.render is not None  # noqa: S101
    assert plan.limits is not None  # noqa: S101
    assert plan.selection is not None  # noqa: S101
    assert plan.split is not None  # noqa: S101
    return Request(
        sources=plan.sources,
        queries=plan.queries,
        tokenizer=plan.tokenizer,
        tokenizer_sha256=plan.model.compiled_by,
        render=plan.render,
        limits=plan.limits,
        split=plan.split,
        selection=plan.selection,
    )


class DataCompiler:
    """The data compiler over the files where they are on this machine.

    `directory` has its last result, `sequences` the training sequences made of it, if any were asked for.
    With `look_at` at most so many rows are compiled and the counts are scaled to all; `sampling` then says
    how far they are known, or is None where every row was there after all.
    """

    def __init__(
        self,
        facts: Facts,
        origins: Origins,
        cache: Cache,
        progress: Progress | None,
        look_at: int | None = None,
    ) -> None:
        self._facts, self._origins, self._look_at = facts, origins, look_at
        self._cache, self._progress = cache, progress
        self.directory: Path | None = None
        self._made_from: tuple[Request, Locations] | None = None
        self.sequences: Path | None = None
        self.sampling: Sampling | None = None
        self._step: DataStep | None = None

    def __call__(self, plan: Plan) -> Compiled:
        """Compile the rows of a plan, or find them in the cache."""
        locations = Locations(
            sources={source.step.name: source.paths for source in self._facts.sources},
            tokenizer=self._facts.model.tokenizer.file,
        )
        request = replace(request_of(plan), look_at=self._look_at)
        done = compile_data(request, locations, cache=self._cache, progress=self._progress)
        self._made_from = request, locations
        self.directory, self.sequences, self._step = done.directory, None, done.step
        findings = data_findings(done, self._facts, self._origins)
        if self._look_at is not None:
            findings = self._of_a_sample(done) + tuple(map(self._noted, findings))
        return Compiled(self._step, findings)

    def _of_a_sample(self, done: CompiledData) -> tuple[Finding, ...]:
        """Scale the counts to all rows; says where that is not called for, as all are there."""
        if done.step is None or done.directory is None:
            return ()
        from ftc.data.kept.sample import read_sample
        from ftc.plan.sampled import scaled

        sample = read_sample(done.directory)
        if sample is not None:
            self._step, self.sampling = scaled(done.step, sample, done.directory)
            return ()
        few = (
            "all rows are compiled already"
            if done.cached
            else f"there are no more than {self._look_at:,} rows"
        )
        return (Finding("FTC883", f"no sample was needed: {few}", severity=Severity.NOTE),)

    def _noted(self, finding: Finding) -> Finding:
        if finding.code == "FTC882" or (self.sampling is None and self._step is not None):
            return finding
        return replace(finding, notes=(*finding.notes, f"of {self._look_at:,} rows that were looked at"))

    def lay_out(self, capacity: int | None) -> Sequences:
        """Training sequences of the rows compiled last, made or found in the cache; raises CacheProblem."""
        assert self.directory is not None  # noqa: S101 - the order of the passes
        step, self.sequences = laid_out(self.directory, capacity, self._cache)
        if self.sampling is None or self._step is None:
            return step
        from ftc.plan.sampled import scaled_sequences

        return scaled_sequences(step, self._step)

    def lint_results(self) -> tuple[LintResult, ...]:
        """What the lints found in the rows compiled last."""
        assert self.directory is not None  # noqa: S101 - the order of the passes
        return kept.read(self.directory)

    def self_test(self) -> tuple[Finding, ...]:
        """Whether each query of what was compiled last gives the same rows with one thread and with several.

        Raises CacheProblem and OSError.
        """
        from ftc.data.query.run_query import query_key
        from ftc.data.query.self_test import self_tests

        if self._made_from is None:
            return ()
        request, locations = self._made_from
        said = self._progress or (lambda *_: None)
        said("comparing threads", 0, None)
        found = self_tests(request, locations, self._cache, said)
        keys = [query_key(query) for query in request.queries]
        return tuple(_threads(one, self._origins.value(*key)) for one, key in zip(found, keys, strict=True))

    def rows(self, step: DataStep | None) -> CompiledRows | None:
        """The last result with what it was compiled from; None where nothing was compiled."""
        from ftc.data.kept.lineage import CompiledRows

        if step is None or self.directory is None or self._made_from is None:
            return None
        return CompiledRows(*self._made_from, step, self.directory, self.sequences)


def _threads(found: SelfTest, span: Span | None) -> Finding:
    which = f"the query `{found.query}`" if found.query else "the query"
    if found.same:
        message = f"{which} gives the same {found.rows:,} rows with one thread and with several"
        return Finding("FTC224", message, span, severity=Severity.NOTE)
    return Finding(
        "FTC224",
        f"{which} gives other rows with several threads than with one, with which it is run",
        span,
        help=("state the orders that it leaves open: `ftc explain FTC224` says what to write",),
        severity=Severity.WARNING,
    )


def data_findings(done: CompiledData, facts: Facts, origins: Origins) -> tuple[Finding, ...]:
    """What the compiler says, at its places in the recipe."""
    return tuple(_finding(problem, facts, origins) for problem in done.problems + done.notes)


def _span(problem: RowProblem, facts: Facts, origins: Origins) -> Span | None:
    """The place of a problem: characters of a query stand in the recipe, or in the .sql file it names."""
    if problem.inside is None:
        return origins.value(*problem.at) if problem.at else None
    queries: dict[Key, Described] = {
        ("data", "mix", query.name, "query"): query for query in facts.queries if query.name
    }
    queries[QUERY], queries[HELD_OUT] = facts.queries[0], facts.held_out or facts.queries[0]
    query = queries.get(problem.at)
    if query is not None and query.file:
        return Span(Source(query.file, query.sql), *problem.inside)
    return origins.inside(problem.at, *problem.inside) or origins.value(*problem.at)


def _finding(problem: RowProblem, facts: Facts, origins: Origins) -> Finding:
    return Finding(
        problem.code,
        problem.message,
        _span(problem, facts, origins),
        place=problem.place,
        help=problem.help,
        notes=problem.notes,
        severity=problem.severity,
    )
