"""The library: check, plan, show and build a recipe. The command line is a thin layer over it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.diagnostics import Finding, Severity, has_errors, sort_findings
from ftc.facts.cache import Cache, CacheProblem
from ftc.facts.gather import Facts, Glance, gather, glance
from ftc.facts.sources.place import HERE, Reach
from ftc.facts.trl_fields import check_trl_options
from ftc.plan.account import STAYING
from ftc.recipe.load import Loaded, load_recipe
from ftc.recipe.model import Recipe
from ftc.results import (
    AccountResult,
    BuildResult,
    CheckResult,
    ExamplesResult,
    PlanResult,
    Status,
    TraceResult,
)

if TYPE_CHECKING:
    from ftc.artifact.build import Execution
    from ftc.data.kept.lineage import CompiledRows
    from ftc.data.kept.lookup import Order, Side
    from ftc.plan.account import Fate
    from ftc.plan.compiling import DataCompiler
    from ftc.runtime.events import Event

Progress = Callable[[str, int, int | None], None]

__all__ = [
    "AccountResult",
    "BuildResult",
    "CheckResult",
    "ExamplesResult",
    "PlanResult",
    "TraceResult",
    "account",
    "build",
    "check",
    "examples",
    "plan",
    "run_name",
    "trace",
]


@dataclass(frozen=True)
class _Checked:
    loaded: Loaded
    seen: Glance | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class _Planned:
    result: PlanResult
    loaded: Loaded
    facts: Facts | None = None
    compiler: DataCompiler | None = None

    @property
    def rows(self) -> CompiledRows | None:
        """The compiled rows with what they were compiled from; None where nothing was compiled."""
        plan = self.result.plan
        return self.compiler.rows(plan.data) if self.compiler and plan else None


def _cache_finding(problem: CacheProblem) -> Finding:
    return Finding(problem.code, problem.message, help=(problem.help,))


def _cache(recipe: Path) -> Cache:
    """The cache, which notes what uses it."""
    return Cache(user=str(recipe.absolute()))


def _damaged(cache: Cache) -> tuple[Finding, ...]:
    """What was found damaged in the cache, and is made again."""
    return tuple(
        Finding(
            "FTC710",
            f"an entry of the cache was damaged, and is made again: {one.reason}",
            place=str(cache.place(one.kind, one.key)),
            severity=Severity.WARNING,
        )
        for one in cache.damaged
    )


def _check(path: Path, overrides: Sequence[str], cache: Cache, reach: Reach = HERE) -> _Checked:
    loaded = load_recipe(path, overrides)
    if loaded.partial is None:
        return _Checked(loaded, None, sort_findings(loaded.findings))
    seen = glance(loaded.partial, loaded.origins, cache, loaded.known, reach)
    options = check_trl_options(loaded.partial, loaded.origins)
    said = {(finding.code, finding.span) for finding in loaded.findings}
    more = [finding for finding in (*options, *seen.findings) if (finding.code, finding.span) not in said]
    return _Checked(loaded, seen, sort_findings((*loaded.findings, *more)))


def check(recipe: str | Path, *, set: Sequence[str] = ()) -> CheckResult:  # noqa: A002
    """Check a recipe against itself, its sources' columns and TRL's options; reads no row, loads no torch.

    `set` holds overrides such as `train.epochs=1`.
    """
    path = Path(recipe)
    with _cache(path) as cache:
        checked = _check(path, set, cache)
    return CheckResult(path, checked.findings, checked.loaded.recipe)


def _plan(
    path: Path, overrides: Sequence[str], after: str | None, cache: Cache, progress: Progress | None
) -> _Planned:
    """The plan; once more from the start where a fetched file turns out damaged, as it was removed."""
    made = _plan_once(path, overrides, after, cache, progress)
    again = any(one.kind == "fetched" for one in cache.damaged) and has_errors(made.result.findings)
    return _plan_once(path, overrides, after, cache, progress) if again else made


def _plan_once(
    path: Path, overrides: Sequence[str], after: str | None, cache: Cache, progress: Progress | None
) -> _Planned:
    reach = Reach(fetch=True, progress=progress or HERE.progress)
    checked = _check(path, overrides, cache, reach)
    loaded, seen = checked.loaded, checked.seen
    if seen is None or has_errors(checked.findings):
        return _Planned(PlanResult(path, checked.findings, None, None, None), loaded)
    try:
        facts = gather(seen, loaded.origins, cache)
        if isinstance(facts, Finding):
            findings = sort_findings((*checked.findings, facts))
            return _Planned(PlanResult(path, findings, None, None, None), loaded)
        result, compiler = _run_passes(path, loaded, facts, after, cache, progress)
    except CacheProblem as problem:
        findings = (*checked.findings, _cache_finding(problem))
        return _Planned(PlanResult(path, findings, None, None, None), loaded)
    findings = sort_findings((*checked.findings, *result.findings))
    return _Planned(replace(result, findings=findings), loaded, facts, compiler)


def _run_passes(
    path: Path, loaded: Loaded, facts: Facts, after: str | None, cache: Cache, progress: Progress | None
) -> tuple[PlanResult, DataCompiler]:
    from ftc.plan.canonical import digest
    from ftc.plan.compiling import DataCompiler
    from ftc.plan.context import Context
    from ftc.plan.passes.lints import levelled
    from ftc.plan.pipeline import run_passes
    from ftc.plan.steps import Plan

    assert loaded.recipe is not None  # noqa: S101 - a recipe without errors is typed
    compiler = DataCompiler(facts, loaded.origins, cache, progress)
    context = Context(
        recipe=loaded.recipe,
        origins=loaded.origins,
        facts=facts,
        compile_data=compiler,
        lay_out=compiler.lay_out,
        lint_results=compiler.lint_results,
    )
    start = Plan(name=run_name(loaded.recipe, path), seed=loaded.recipe.seed)
    outcome = run_passes(start, context, after=after)
    whole = outcome.plan if after is not None or outcome.ok else None
    result = PlanResult(
        path=path,
        findings=outcome.findings,
        plan=outcome.plan,
        digest=digest(whole) if whole else None,
        data=compiler.directory,
        sequences=compiler.sequences,
        lints=levelled(outcome.plan, context) if outcome.plan.data and after in (None, "lints") else None,
    )
    return result, compiler


def run_name(recipe: Recipe, path: Path) -> str:
    """The name of the runs: the recipe's own, its file's, or its directory's for recipe.toml."""
    if recipe.name is not None:
        return recipe.name
    return path.resolve().parent.name if path.stem == "recipe" else path.stem


def plan(
    recipe: str | Path,
    *,
    set: Sequence[str] = (),  # noqa: A002
    after: str | None = None,
    self_test: bool = False,
    progress: Progress | None = None,
) -> PlanResult:
    """Make the plan: read and compile the rows, and resolve everything the recipe leaves open.

    `after` stops behind the pass of that name (`ftc.plan.pipeline.NAMES`). `self_test` runs the queries with
    one thread and with several, and says whether the rows are the same. Where findings have errors, the
    plan is the part that was made before them.
    """
    path = Path(recipe)
    with _cache(path) as cache:
        made = _plan(path, set, after, cache, progress)
        result = made.result
        compared = made.compiler.self_test() if self_test and made.compiler and result.data else ()
        return replace(result, findings=sort_findings((*result.findings, *compared, *_damaged(cache))))


def _compiled(
    path: Path, overrides: Sequence[str], cache: Cache, progress: Progress | None
) -> tuple[tuple[Finding, ...], CompiledRows | None]:
    """The compiled rows of a recipe with every byte checked, and what there is to say of them."""
    made = _plan(path, overrides, "sequences", cache, progress)
    if not _is_whole(cache, "data", made.result.data):
        made = _plan(path, overrides, "sequences", cache, progress)
    return sort_findings((*made.result.findings, *_damaged(cache))), made.rows


def examples(
    recipe: str | Path,
    *,
    set: Sequence[str] = (),  # noqa: A002
    rows: int = 3,
    part: Side = "train",
    order: Order = "first",
    progress: Progress | None = None,
) -> ExamplesResult:
    """Some compiled rows of one side: the first, the longest, or such as the hashes of their ids pick."""
    path = Path(recipe)
    with _cache(path) as cache:
        findings, made = _compiled(path, set, cache, progress)
        shown = made.viewer.some(part, order, rows) if made else ()
        return ExamplesResult(path, findings, tuple(shown))


def trace(
    recipe: str | Path,
    ids: Sequence[str],
    *,
    set: Sequence[str] = (),  # noqa: A002
    progress: Progress | None = None,
) -> TraceResult:
    """The ways of rows by their ids, dropped ones too; an id that no row has is a finding."""
    path = Path(recipe)
    with _cache(path) as cache:
        findings, made = _compiled(path, set, cache, progress)
        if made is None:
            return TraceResult(path, findings)
        from ftc.data.kept.lineage import trace_rows

        rows, more = trace_rows(made, ids, cache, progress)
        return TraceResult(path, sort_findings((*findings, *more)), rows)


def account(
    recipe: str | Path,
    *,
    set: Sequence[str] = (),  # noqa: A002
    fates: Sequence[Fate] = (),
    rows: int = 20,
    progress: Progress | None = None,
) -> AccountResult:
    """The first rows of the ledger with certain fates, or of all that went where none is named."""
    path = Path(recipe)
    with _cache(path) as cache:
        findings, made = _compiled(path, set, cache, progress)
        if made is None:
            return AccountResult(path, findings)
        from ftc.data.kept.lookup import with_fates

        total = sum(
            line.rows
            for line in made.step.ledger.lines
            if (line.fate in fates if fates else line.fate not in STAYING)
        )
        return AccountResult(path, findings, tuple(with_fates(made.directory, fates, rows)), total)


def _is_whole(cache: Cache, kind: str, directory: Path | None) -> bool:
    """Whether an entry, if there is one, has every byte that was written; if not, it goes if it can."""
    try:
        return directory is None or cache.entry(kind, directory.name, deep=True) is not None
    except CacheProblem:
        return False


def build(
    recipe: str | Path,
    *,
    set: Sequence[str] = (),  # noqa: A002
    runs: Path | None = None,
    progress: Progress | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> BuildResult:
    """Plan, train and evaluate; or find that all of it is already there.

    Runs are kept under `runs`, by default beside the recipe. A stopped build goes on where it was.
    """
    path = Path(recipe)
    with _cache(path) as cache:
        result = _build(path, set, runs, cache, progress, on_event)
        if cache.damaged and any(finding.code == "FTC706" for finding in result.findings):
            result = _build(path, set, runs, cache, progress, on_event)
        return replace(result, findings=sort_findings((*result.findings, *_damaged(cache))))


def _build(
    path: Path,
    overrides: Sequence[str],
    runs: Path | None,
    cache: Cache,
    progress: Progress | None,
    on_event: Callable[[Event], None] | None,
) -> BuildResult:
    """Plan and build once; where the runtime refuses compiled rows that are damaged, they are removed."""
    made = _plan(path, overrides, None, cache, progress)
    result = made.result
    if not result.ok or made.facts is None or result.plan is None or result.data is None:
        return BuildResult(path, result.findings, result.plan, result.digest, "invalid", None, None)
    done = _execute(made, runs or path.parent / "runs", cache, on_event)
    if isinstance(done, Finding):
        findings = (*result.findings, done)
        return BuildResult(path, findings, result.plan, result.digest, "failed", None, None)
    if any(finding.code == "FTC706" for finding in done.findings):
        _is_whole(cache, "data", result.data)
        _is_whole(cache, "sequences", result.sequences)
    status: Status = "built" if done.status == "done" else done.status
    findings = (*result.findings, *done.findings)
    return BuildResult(path, findings, result.plan, result.digest, status, done.run, done.evaluation or None)


def _execute(
    made: _Planned, runs: Path, cache: Cache, on_event: Callable[[Event], None] | None
) -> Execution | Finding:
    from ftc.artifact.build import Build, execute
    from ftc.facts.materialise import model_directory
    from ftc.plan.canonical import canonical_bytes

    def model() -> Path | Finding:
        try:
            return model_directory(facts.model, made.loaded.origins, cache)
        except CacheProblem as problem:
            return _cache_finding(problem)

    result = made.result
    assert result.plan is not None  # noqa: S101 - `build` has checked the plan
    assert result.digest is not None  # noqa: S101
    assert result.data is not None  # noqa: S101
    assert made.facts is not None  # noqa: S101
    facts = made.facts
    work = Build(
        plan=result.plan,
        plan_bytes=canonical_bytes(result.plan),
        recipe_text=made.loaded.text,
        data=result.data,
        sequences=result.sequences,
        runs=runs,
        model=model,
        name=result.plan.name,
        digest=result.digest,
    )
    return execute(work, on_event or (lambda _: None))
