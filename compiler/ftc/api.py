"""The library: check, plan, show and build a recipe. The command line is a thin layer over it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.diagnostics import Finding, has_errors, sort_findings
from ftc.facts.cache import Cache
from ftc.jobs.planning import (
    Options,
    Planned,
    Progress,
    checked_recipe,
    damaged,
    open_cache,
    planned,
    run_name,
)
from ftc.jobs.results import (
    AccountResult,
    BuildResult,
    ChainLink,
    CheckResult,
    DiffResult,
    ExamplesResult,
    LockResult,
    PlanResult,
    TraceResult,
)
from ftc.sweeping.results import SweepResult

if TYPE_CHECKING:
    from ftc.data.kept.lineage import CompiledRows
    from ftc.data.kept.lookup import Order, Side
    from ftc.jobs.building import Workshop
    from ftc.plan.account import Fate
    from ftc.runtime.events import Event
    from ftc.sweeping.results import VariantResult

__all__ = [
    "AccountResult",
    "BuildResult",
    "CheckResult",
    "DiffResult",
    "ExamplesResult",
    "LockResult",
    "PlanResult",
    "SweepResult",
    "TraceResult",
    "account",
    "build",
    "check",
    "diff",
    "examples",
    "lock",
    "plan",
    "run_name",
    "sweep",
    "trace",
]


def check(recipe: str | Path, *, set: Sequence[str] = ()) -> CheckResult:  # noqa: A002
    """Check a recipe against itself, its sources' columns and TRL's options; reads no row, loads no torch.

    `set` holds overrides such as `train.epochs=1`.
    """
    path = Path(recipe)
    with open_cache(path) as cache:
        checked = checked_recipe(path, set, cache)
    return CheckResult(path, checked.findings, checked.loaded.recipe)


def plan(  # noqa: PLR0913 - options of a plan, each by its name
    recipe: str | Path,
    *,
    set: Sequence[str] = (),  # noqa: A002
    after: str | None = None,
    self_test: bool = False,
    sample: int | None = None,
    gpus: Sequence[str] | None = (),
    exact: bool = False,
    runs: Path | None = None,
    locked: bool = False,
    progress: Progress | None = None,
) -> PlanResult:
    """Make the plan: read and compile the rows, and resolve everything the recipe leaves open.

    `after` stops behind the pass of that name (`ftc.plan.pipeline.NAMES`). `self_test` runs the queries with
    one thread and with several, and says whether the rows are the same. With `sample` at most so many rows
    are compiled, and all counts are estimated from them. `gpus` are those that the build is forecast on
    beside the device it is for: names, or `all`; some of the cheapest where it is empty, none where it is
    None. With `exact` the training step is run abstractly, on the installed versions. `runs` is where the
    runs of a chain are looked for, by default beside each recipe. With `locked` inputs which are not as in
    recipe.lock are errors, else warnings. Where findings have errors, the plan is the part that was made
    before them.
    """
    path = Path(recipe)
    with open_cache(path) as cache:
        options = Options(
            overrides=tuple(set),
            after=after,
            progress=progress,
            sample=sample,
            gpus=None if gpus is None else tuple(gpus),
            exact=exact,
        )
        made = planned(path, options, cache)
        result = made.result
        compared = made.compiler.self_test() if self_test and made.compiler and result.data else ()
        held = _held(made, strict=locked) if after is None else ()
        findings = sort_findings((*result.findings, *compared, *held, *damaged(cache)))
        return replace(result, findings=findings, chain=_links(made, runs))


def _held(made: Planned, *, strict: bool) -> tuple[Finding, ...]:
    from ftc.jobs.relocking import held

    return held(made, strict=strict)


def lock(recipe: str | Path, *, update: Sequence[str] = (), progress: Progress | None = None) -> LockResult:
    """Write recipe.lock beside the recipe: the digest of every input, as it is now.

    With `update` only those inputs are taken over (`model`, `packages`, `sources.NAME`, …; `all` for every
    one), and what they pin on the hub is looked up anew. Reads and compiles the rows; trains nothing.
    """
    from ftc.jobs.relocking import relock

    path = Path(recipe)
    with open_cache(path) as cache:
        return relock(path, update, progress, cache)


def _links(made: Planned, runs: Path | None) -> tuple[ChainLink, ...]:
    """How far each recipe of a chain is built, where there is one that could be planned."""
    if (made.base is None and not made.scorers) or not made.result.ok:
        return ()
    from ftc.jobs.chaining import links

    return links(made, runs)


def diff(
    old: str | Path,
    new: str | Path,
    *,
    set: Sequence[str] = (),  # noqa: A002
    progress: Progress | None = None,
) -> DiffResult:
    """How a recipe, a plan or a run differs from another: data, model, schedule, and what is made anew.

    Recipes are planned, so their rows are compiled where they were not; `set` overrides settings of `new`.
    """
    from ftc.jobs.diffing import differences

    with open_cache(Path(new)) as cache:

        def planner(path: Path, overrides: Sequence[str]) -> Planned:
            return planned(path, Options(tuple(overrides), progress=progress), cache)

        result = differences(Path(old), Path(new), set, planner, cache)
        return replace(result, findings=sort_findings((*result.findings, *damaged(cache))))


def _compiled(
    path: Path, overrides: Sequence[str], cache: Cache, progress: Progress | None
) -> tuple[tuple[Finding, ...], CompiledRows | None]:
    """The compiled rows of a recipe with every byte checked, and what there is to say of them."""
    options = Options(tuple(overrides), "sequences", progress)
    made = planned(path, options, cache)
    from ftc.jobs.building import is_whole

    if not is_whole(cache, "data", made.result.data):
        made = planned(path, options, cache)
    return sort_findings((*made.result.findings, *damaged(cache))), made.rows


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
    with open_cache(path) as cache:
        findings, made = _compiled(path, set, cache, progress)
        shown = made.viewer.some(part, order, rows) if made else ()
        return ExamplesResult(path, findings, tuple(shown))


def trace(
    recipe: str | Path,
    ids: Sequence[str],
    *,
    set: Sequence[str] = (),  # noqa: A002
    raw: bool = False,
    progress: Progress | None = None,
) -> TraceResult:
    """The ways of rows by their ids, dropped ones too; an id that no row has is a finding.

    Their values are without what the recipe redacts, unless they are wanted `raw`.
    """
    path = Path(recipe)
    with open_cache(path) as cache:
        findings, made = _compiled(path, set, cache, progress)
        if made is None:
            return TraceResult(path, findings)
        from ftc.data.kept.lineage import trace_rows

        rows, more = trace_rows(made, ids, cache, progress, raw=raw)
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
    with open_cache(path) as cache:
        findings, made = _compiled(path, set, cache, progress)
        if made is None:
            return AccountResult(path, findings)
        from ftc.data.kept.lookup import with_fates
        from ftc.plan.account import STAYING

        total = sum(
            line.rows
            for line in made.step.ledger.lines
            if (line.fate in fates if fates else line.fate not in STAYING)
        )
        return AccountResult(path, findings, tuple(with_fates(made.directory, fates, rows)), total)


def build(
    recipe: str | Path,
    *,
    set: Sequence[str] = (),  # noqa: A002
    runs: Path | None = None,
    locked: bool = False,
    progress: Progress | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> BuildResult:
    """Plan, train and evaluate; or find that all of it is already there.

    A recipe that it builds on is built first where its run is not there. Runs are kept under `runs`, by
    default beside each recipe. A stopped build goes on where it was.

    Where there is no recipe.lock it is written, unless something is overridden. With `locked` nothing is
    built from inputs which are not as in the lock; else they are told.
    """
    from ftc.artifact.preparing import Noted
    from ftc.jobs.building import Workshop

    path, status = Path(recipe), ""
    with open_cache(path) as cache:
        noted = Noted(cache.root, path, runs or path.parent / "runs", progress)

        def once() -> BuildResult:
            made = planned(path, Options(tuple(set), progress=noted), cache)
            return _build(made, Workshop(runs, cache, on_event or (lambda _: None)), locked, lock=not set)

        try:
            result = once()
            if cache.damaged and any(finding.code == "FTC706" for finding in result.findings):
                result = once()
            status = result.status
        finally:
            noted.close(status or "failed")
        return replace(result, findings=sort_findings((*result.findings, *damaged(cache))))


def _build(made: Planned, shop: Workshop, locked: bool, *, lock: bool) -> BuildResult:
    """Build once; where the runtime refuses compiled rows that are damaged, they are removed.

    With `lock` the locks that are missing are written.
    """
    from ftc.jobs.building import built
    from ftc.jobs.relocking import first_locks, unwritten

    result = made.result
    held = _held(made, strict=locked)
    if has_errors(held):
        findings = (*result.findings, *held)
        return BuildResult(result.path, findings, result.plan, result.digest, "invalid", None, None)
    wanted = lock and not locked and result.ok
    written, problems = first_locks(made) if wanted else ((), ())
    done = built(made, shop)
    return replace(done, findings=(*done.findings, *held, *unwritten(problems)), locks=written)


def sweep(  # noqa: PLR0913 - options of a sweep, each by its name
    recipe: str | Path,
    *,
    set: Sequence[str] = (),  # noqa: A002
    runs: Path | None = None,
    plan_only: bool = False,
    progress: Progress | None = None,
    on_event: Callable[[Event], None] | None = None,
    on_variant: Callable[[VariantResult], None] | None = None,
) -> SweepResult:
    """Build the variants that the recipe's [sweep] describes, all planned and checked before the first.

    With `plan_only` none is built. `on_variant` is told of each when it has been tried. What is there of a
    sweep that was stopped is not built again.
    """
    from ftc.sweeping.sweep import Wishes
    from ftc.sweeping.sweep import sweep as made

    def silent(*_: object) -> None:
        """Tell nobody."""

    path = Path(recipe)
    wishes = Wishes(
        overrides=tuple(set),
        runs=runs,
        plan_only=plan_only,
        progress=progress or silent,
        on_event=on_event or silent,
        on_variant=on_variant or silent,
    )
    with open_cache(path) as cache:
        result = made(path, wishes, cache)
        return replace(result, findings=sort_findings((*result.findings, *damaged(cache))))
