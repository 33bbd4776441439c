"""The library: check, plan, show and build a recipe. The command line is a thin layer over it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ftc.diagnostics import Finding, Severity, has_errors, sort_findings
from ftc.facts.cache import Cache, CacheProblem
from ftc.facts.gather import Facts, Glance, gather, glance
from ftc.facts.trl_fields import check_trl_options
from ftc.recipe.load import Loaded, load_recipe
from ftc.recipe.model import Recipe

if TYPE_CHECKING:
    from ftc.artifact.build import Execution
    from ftc.plan.steps import Plan
    from ftc.runtime.events import Event

Progress = Callable[[str, int, int | None], None]
Part = Literal["train", "eval"]
Status = Literal["built", "up to date", "stopped", "failed", "invalid"]


@dataclass(frozen=True)
class CheckResult:
    """What `check` found; `recipe` is None where the text is too wrong to be typed."""

    path: Path
    findings: tuple[Finding, ...]
    recipe: Recipe | None

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return self.recipe is not None and not has_errors(self.findings)


@dataclass(frozen=True)
class PlanResult:
    """The plan and its digest; `data` is the directory of compiled rows, ledger and dropped rows."""

    path: Path
    findings: tuple[Finding, ...]
    plan: Plan | None
    digest: str | None
    data: Path | None

    @property
    def ok(self) -> bool:
        """Whether the plan is whole and has no error."""
        return self.plan is not None and not has_errors(self.findings)


@dataclass(frozen=True)
class BuildResult:
    """How a build ended; `evaluation` has the metrics `before` and `after`."""

    path: Path
    findings: tuple[Finding, ...]
    plan: Plan | None
    digest: str | None
    status: Status
    run: Path | None
    evaluation: dict[str, Any] | None

    @property
    def ok(self) -> bool:
        """Whether the run directory is whole."""
        return self.status in ("built", "up to date")


@dataclass(frozen=True)
class ShownExample:
    """A compiled row as people read it: its text in stretches that are trained or not, counts in tokens."""

    id: str
    part: Part
    tokens: tuple[tuple[str, bool], ...]
    length: int
    trained: int


@dataclass(frozen=True)
class ExamplesResult:
    """Compiled rows of a recipe."""

    path: Path
    findings: tuple[Finding, ...]
    examples: tuple[ShownExample, ...]

    @property
    def ok(self) -> bool:
        """Whether every row asked for is there."""
        return not has_errors(self.findings)


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


def _check(path: Path, overrides: Sequence[str], cache: Cache) -> _Checked:
    loaded = load_recipe(path, overrides)
    if loaded.partial is None:
        return _Checked(loaded, None, sort_findings(loaded.findings))
    seen = glance(loaded.partial, loaded.origins, cache, loaded.known)
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
    checked = _check(path, overrides, cache)
    loaded, seen = checked.loaded, checked.seen
    if seen is None or has_errors(checked.findings):
        return _Planned(PlanResult(path, checked.findings, None, None, None), loaded)
    try:
        facts = gather(seen, loaded.origins, cache)
        if isinstance(facts, Finding):
            findings = sort_findings((*checked.findings, facts))
            return _Planned(PlanResult(path, findings, None, None, None), loaded)
        result = _run_passes(path, loaded, facts, after, cache, progress)
    except CacheProblem as problem:
        findings = (*checked.findings, _cache_finding(problem))
        return _Planned(PlanResult(path, findings, None, None, None), loaded)
    findings = sort_findings((*checked.findings, *result.findings))
    return _Planned(PlanResult(path, findings, result.plan, result.digest, result.data), loaded, facts)


def _run_passes(
    path: Path, loaded: Loaded, facts: Facts, after: str | None, cache: Cache, progress: Progress | None
) -> PlanResult:
    from ftc.plan.canonical import digest
    from ftc.plan.compiling import DataCompiler
    from ftc.plan.context import Context
    from ftc.plan.pipeline import run_passes
    from ftc.plan.steps import Plan

    assert loaded.recipe is not None  # noqa: S101 - a recipe without errors is typed
    compiler = DataCompiler(facts, loaded.origins, cache, progress)
    context = Context(
        recipe=loaded.recipe,
        origins=loaded.origins,
        facts=facts,
        compile_data=compiler,
    )
    start = Plan(name=run_name(loaded.recipe, path), seed=loaded.recipe.seed)
    outcome = run_passes(start, context, after=after)
    whole = outcome.plan if after is not None or outcome.ok else None
    return PlanResult(
        path=path,
        findings=outcome.findings,
        plan=outcome.plan,
        digest=digest(whole) if whole else None,
        data=compiler.directory,
    )


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
    progress: Progress | None = None,
) -> PlanResult:
    """Make the plan: read and compile the rows, and resolve everything the recipe leaves open.

    `after` stops behind the pass of that name (`ftc.plan.pipeline.NAMES`). Where findings have errors, the
    plan is the part that was made before them.
    """
    path = Path(recipe)
    with _cache(path) as cache:
        result = _plan(path, set, after, cache, progress).result
        return replace(result, findings=sort_findings((*result.findings, *_damaged(cache))))


def examples(
    recipe: str | Path,
    *,
    set: Sequence[str] = (),  # noqa: A002
    rows: int = 3,
    part: Part = "train",
    ids: Sequence[str] = (),
    progress: Progress | None = None,
) -> ExamplesResult:
    """The first compiled rows of one side, or the rows with certain ids from either."""
    path = Path(recipe)
    with _cache(path) as cache:
        made = _plan(path, set, "data", cache, progress)
        result = made.result
        if result.plan is None or result.plan.data is None or result.data is None or made.facts is None:
            return ExamplesResult(path, result.findings, ())
        if not _is_whole(cache, result.data):
            made = _plan(path, set, "data", cache, progress)
        found = _shown(made, rows, part, ids)
        return replace(found, findings=sort_findings((*found.findings, *_damaged(cache))))


def _is_whole(cache: Cache, data: Path) -> bool:
    """Whether compiled rows have every byte that was written; if not, they are removed where that can be."""
    try:
        return cache.entry("data", data.name, deep=True) is not None
    except CacheProblem:
        return False


def _shown(made: _Planned, rows: int, part: Part, ids: Sequence[str]) -> ExamplesResult:
    from ftc.data.shown import shown_rows

    result = made.result
    assert made.facts is not None  # noqa: S101 - `examples` has looked
    if result.plan is None or result.plan.data is None or result.data is None:
        return ExamplesResult(result.path, result.findings, ())
    tokenizer = made.facts.model.tokenizer.file
    found = shown_rows(result.plan.data, result.data, tokenizer, rows=rows, part=part, ids=ids)
    shown = tuple(ShownExample(*row) for row in found)
    missing = [id_ for id_ in ids if id_ not in {example.id for example in shown}]
    return ExamplesResult(result.path, (*result.findings, *_not_there(missing, result.data)), shown)


def _not_there(ids: Iterable[str], data: Path) -> Iterable[Finding]:
    from ftc.data.shown import dropped_reasons

    ids = list(ids)
    reasons = dropped_reasons(data, ids) if ids else {}
    for id_ in ids:
        if id_ in reasons:
            yield Finding("FTC607", f"the row {id_} was not kept: {reasons[id_]}", place=id_)
        else:
            help_ = ("`ftc show` prints ids; a row that the query leaves out goes by SOURCE:ROW",)
            yield Finding("FTC607", f"no row has the id {id_}", place=id_, help=help_)


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
        _is_whole(cache, result.data)
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
        runs=runs,
        model=model,
        name=result.plan.name,
        digest=result.digest,
    )
    return execute(work, on_event or (lambda _: None))
