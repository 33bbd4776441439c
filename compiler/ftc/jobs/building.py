"""Build a plan and the plans that it builds on, each once the one below it is whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ftc.diagnostics import Finding, Severity, Span
from ftc.facts.cache import Cache, CacheProblem
from ftc.jobs.chaining import directory_of, is_adapter, runs_of
from ftc.jobs.planning import Planned, cache_finding
from ftc.jobs.results import BuildResult, Status
from ftc.recipe.base_recipe import KEY, REWARDS

if TYPE_CHECKING:
    from ftc.artifact.build import Execution
    from ftc.artifact.chain import ChainedRun
    from ftc.artifact.merged import BaseRun
    from ftc.runtime.events import Event


@dataclass(frozen=True)
class Workshop:
    """What builds have in common: where runs are made (None: beside each recipe), the cache, who is told."""

    runs: Path | None
    cache: Cache
    on_event: Callable[[Event], None]


def built(made: Planned, shop: Workshop, *, chained: bool = False) -> BuildResult:
    """Bring the run of a plan up to date, after those that it builds on; what is whole is left as it is.

    Where one below cannot be built, nothing above it is begun. `chained` says that others build on it.
    """
    result = made.result
    if not result.ok or made.facts is None or result.plan is None or result.data is None:
        return BuildResult(result.path, result.findings, result.plan, result.digest, "invalid", None, None)
    below = built(made.base, shop, chained=True) if made.base is not None else None
    if below is not None and (not below.ok or below.gates_failed):
        return _held_up(made, below)
    scorers = []
    for one in made.scorers:
        scorers.append(built(one, shop, chained=True))
        if not scorers[-1].ok or scorers[-1].gates_failed:
            return _held_up(made, scorers[-1], "recipe of the reward model")
    if below is not None or scorers or chained:
        _announce(made, shop)
    needed = scorers if below is None else [below, *scorers]
    findings = (*chain.from_iterable(one.findings for one in needed), *result.findings)
    done = _execute(made, below, shop)
    if isinstance(done, Finding):
        findings = (*findings, done)
        return BuildResult(
            result.path, findings, result.plan, result.digest, "failed", None, None, base=below
        )
    _drop_damaged(done, made, shop.cache)
    status: Status = "built" if done.status == "done" else done.status
    return BuildResult(
        path=result.path,
        findings=(*findings, *done.findings),
        plan=result.plan,
        digest=result.digest,
        status=status,
        run=done.run,
        evaluation=done.evaluation or None,
        base=below,
    )


def _announce(made: Planned, shop: Workshop) -> None:
    from ftc.runtime.events import Phase

    assert made.result.plan is not None  # noqa: S101 - `built` has looked
    shop.on_event(Phase("recipe", made.result.plan.name))


def _held_up(made: Planned, below: BuildResult, what: str = "base recipe") -> BuildResult:
    """The result of a recipe one of whose parts did not come to be."""
    result = made.result
    name = below.plan.name if below.plan is not None else below.path.name
    stopped = below.status == "stopped"
    why = "was stopped" if stopped else "did not pass its gates" if below.ok else "could not be built"
    finding = Finding(
        "FTC583",
        f"the {what} `{name}` {why}, so nothing was built on it",
        made.loaded.origins.value(*KEY),
        severity=Severity.NOTE,
    )
    return BuildResult(
        path=result.path,
        findings=(*below.findings, *result.findings, finding),
        plan=result.plan,
        digest=result.digest,
        status="failed" if below.ok else below.status,
        run=None,
        evaluation=None,
        base=below,
    )


def _drop_damaged(done: Execution, made: Planned, cache: Cache) -> None:
    """Remove compiled rows that the runtime refused, if they are damaged, so that they are made again."""
    if any(finding.code == "FTC706" for finding in done.findings):
        is_whole(cache, "data", made.result.data)
        is_whole(cache, "sequences", made.result.sequences)


def is_whole(cache: Cache, kind: str, directory: Path | None) -> bool:
    """Whether an entry, if there is one, has every byte that was written; if not, it goes if it can."""
    try:
        return directory is None or cache.entry(kind, directory.name, deep=True) is not None
    except CacheProblem:
        return False


def _lacking_device(made: Planned) -> Finding | None:
    """The finding for a plan whose device this machine does not have, before a model is fetched."""
    from ftc.facts.machine import missing_device

    plan, recipe = made.result.plan, made.loaded.recipe
    assert plan is not None  # noqa: S101 - `built` has checked the plan
    assert plan.environment is not None  # noqa: S101
    assert recipe is not None  # noqa: S101
    device = plan.environment.device
    reason = missing_device(device)
    if reason is None:
        return None
    path = ("train", "device") if recipe.hardware.gpu is None else ("hardware", "gpu")
    return Finding(
        "FTC855",
        f"the plan is for a GPU ({device}), and cannot be built here: {reason}",
        made.loaded.origins.value(*path),
        help=(
            "run the same command on a machine that has one",
            f"or remove `{path[1]}` from [{path[0]}], to build on what this machine has",
        ),
    )


def _execute(made: Planned, below: BuildResult | None, shop: Workshop) -> Execution | Finding:
    from ftc.artifact.beside import kept_beside
    from ftc.artifact.build import Build, execute
    from ftc.artifact.inputs_lock import text_of
    from ftc.jobs.locking import lock_entries
    from ftc.plan.canonical import canonical_bytes

    said: list[Finding] = []

    def model() -> Path | Finding:
        lacking = _lacking_device(made)
        if lacking is not None:
            return lacking
        try:
            return _with_notes(made, shop.runs, shop.cache, said)
        except CacheProblem as problem:
            return cache_finding(problem)

    result = made.result
    assert result.plan is not None  # noqa: S101 - `built` has checked the plan
    assert result.digest is not None  # noqa: S101
    assert result.data is not None  # noqa: S101
    assert made.facts is not None  # noqa: S101
    work = Build(
        plan=result.plan,
        plan_bytes=canonical_bytes(result.plan),
        recipe_text=made.loaded.text,
        data=result.data,
        sequences=result.sequences,
        beside={**result.beside, **kept_beside(result.lints or (), made.facts.model.config)},
        runs=runs_of(made, shop.runs),
        model=model,
        teacher=_teacher(made, shop.cache),
        scorers=lambda: _scorers(made, shop),
        lock=text_of(lock_entries(made)),
        name=result.plan.name,
        digest=result.digest,
        trackers=(made.loaded.recipe.train.trackers if made.loaded.recipe else None) or (),
    )
    own = work.directory.complete
    work = replace(work, chain=(*_chain(made, below, own), *_reward_models(made, shop, own)))
    done = execute(work, shop.on_event)
    return replace(done, findings=(*said, *done.findings))


def _teacher(made: Planned, cache: Cache) -> Callable[[], Path | Finding] | None:
    """What brings the model that is followed onto the disk; None where there is none."""
    from ftc.facts.materialise import model_directory
    from ftc.facts.teacher import TeacherOrigins

    facts = made.facts.teacher if made.facts else None
    if facts is None:
        return None

    def directory() -> Path | Finding:
        try:
            return model_directory(facts, TeacherOrigins(made.loaded.origins), cache)
        except CacheProblem as problem:
            return cache_finding(problem)

    return directory


def _scorers(made: Planned, shop: Workshop) -> tuple[Path, ...] | Finding:
    """The directories of the reward models, each with its whole weights."""
    from ftc.artifact.merged import run_model

    found: list[Path] = []
    for one in made.scorers:
        run = _run_of(one, shop.runs, made.loaded.origins.value(*REWARDS))
        if run is None:
            return _not_built(made, one)
        try:
            place = run_model(run, partial(begun_with, one, shop.runs, shop.cache), shop.cache)
        except CacheProblem as problem:
            return cache_finding(problem)
        if isinstance(place, Finding):
            return place
        found.append(place)
    return tuple(found)


def _with_notes(made: Planned, runs: Path | None, cache: Cache, said: list[Finding]) -> Path | Finding:
    """The directory with the weights to begin with; what is to be said of a merged one is added to `said`."""
    from ftc.artifact.merged import quantised, rounding

    place, run = begun_with(made, runs, cache), _base_run(made, runs)
    if isinstance(place, Path) and run is not None:
        assert made.result.plan is not None  # noqa: S101 - `built` has checked the plan
        assert made.result.plan.model is not None  # noqa: S101
        notes = (quantised(run), rounding(run, place, made.result.plan.model.dtype))
        said += [note for note in notes if note is not None]
    return place


def begun_with(made: Planned, runs: Path | None, cache: Cache) -> Path | Finding:
    """The directory with the weights that a plan begins with: a model's, or those of the run it builds on.

    That run is not built here; a finding says where it is not there. Raises CacheProblem.
    """
    from ftc.artifact.merged import run_model
    from ftc.facts.materialise import model_directory

    assert made.facts is not None  # noqa: S101 - the caller has looked
    base = made.base
    if base is None:
        return model_directory(made.facts.model, made.loaded.origins, cache)
    run = _base_run(made, runs)
    if run is None:
        return _not_built(made, base)
    return run_model(run, lambda: begun_with(base, runs, cache), cache)


def _base_run(made: Planned, runs: Path | None) -> BaseRun | None:
    """The whole run that a plan builds on; None where it builds on none, or it is not there."""
    return None if made.base is None else _run_of(made.base, runs, made.loaded.origins.value(*KEY))


def _run_of(made: Planned, runs: Path | None, span: Span | None) -> BaseRun | None:
    """The whole run of a plan; None where it is not there."""
    from ftc.artifact.merged import BaseRun

    if made.result.plan is None or made.result.digest is None:
        return None
    place = directory_of(made, runs).complete
    return BaseRun(place, made.result.plan, span) if place.is_dir() else None


def _not_built(made: Planned, base: Planned) -> Finding:
    name = base.result.plan.name if base.result.plan is not None else base.result.path.name
    return Finding(
        "FTC588",
        f"the base recipe `{name}` is not built yet",
        made.loaded.origins.value(*KEY),
        help=(f"build it first: ftc build {base.result.path}",),
    )


def _chain(made: Planned, below: BuildResult | None, run: Path) -> tuple[ChainedRun, ...]:
    """The runs that a run builds on, seen from its directory, the first one first."""
    if made.base is None or below is None or below.run is None:
        return ()
    return (*_chain(made.base, below.base, run), _link(made.base, below.run, run, "base"))


def _reward_models(made: Planned, shop: Workshop, run: Path) -> Iterator[ChainedRun]:
    """The runs whose models score a run's sampled answers, seen from its directory."""
    for one in made.scorers:
        yield _link(one, directory_of(one, shop.runs).complete, run, "reward")


def _link(made: Planned, there: Path, run: Path, use: Literal["base", "reward"]) -> ChainedRun:
    """A run at `there` as it stands in the chain of another."""
    from ftc.artifact.chain import ChainedRun, manifest_digest, place_of

    plan, digest = made.result.plan, made.result.digest
    assert plan is not None  # noqa: S101 - it is built, so its plan is whole
    assert plan.model is not None  # noqa: S101
    assert plan.tune is not None  # noqa: S101
    assert plan.objective is not None  # noqa: S101
    assert digest is not None  # noqa: S101
    return ChainedRun(
        name=plan.name,
        plan=digest,
        place=place_of(there, run),
        objective=plan.objective.name,
        method=plan.tune.method,
        adapter=is_adapter(plan.tune),
        model=plan.model,
        manifest_sha256=manifest_digest(there),
        use=use,
    )
