"""From a recipe to its plan: load, look at the world, gather facts, run the passes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.diagnostics import Finding, Severity, has_errors, sort_findings
from ftc.facts.cache import Cache, CacheProblem
from ftc.facts.gather import Facts, Glance, gather, glance
from ftc.facts.sources.place import HERE, Reach
from ftc.facts.trackers import check_trackers
from ftc.facts.trl_fields import check_trl_options
from ftc.jobs.locking import moving_below, with_pins
from ftc.jobs.results import PlanResult
from ftc.recipe.base_recipe import following, scoring
from ftc.recipe.load import Loaded, Origins, load_recipe
from ftc.recipe.model import Recipe
from ftc.recipe.sweep import SweepRange
from ftc.recipe.variants import NOTHING as NO_VARIANT

if TYPE_CHECKING:
    from ftc.data.kept.lineage import CompiledRows
    from ftc.estimate.forecast import Forecasts
    from ftc.forecasting.choose_gpu import ChosenGpu
    from ftc.plan.compiling import DataCompiler
    from ftc.plan.context import Context
    from ftc.plan.sampled import Sampling
    from ftc.plan.steps import Plan

Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Options:
    """How a recipe is to be planned: what overrides it, behind which pass to stop, whom to tell.

    `variant` has values for the keys of the recipe's [sweep].

    With `sample` at most so many rows are compiled, and the counts are scaled to all of them. `gpus` are
    those that the build is forecast on beside the device it is for: by name, `all`, some of the cheapest
    where it is empty, none where it is None. With `exact` the training step is run abstractly too.
    With `baselines` every suite that looks at answers has all baselines. `moving` are inputs for which
    recipe.lock does not hold (`all` for every one), as they are to be looked up anew. The recipe's paths
    begin at `home`, or at its own directory.
    """

    overrides: tuple[str, ...] = ()
    after: str | None = None
    progress: Progress | None = None
    sample: int | None = None
    variant: Mapping[str, Any] = field(default_factory=dict)
    gpus: tuple[str, ...] | None = None
    exact: bool = False
    baselines: bool = False
    moving: tuple[str, ...] = ()
    home: Path | None = None


@dataclass(frozen=True)
class Checked:
    """A recipe with what a first look found; `seen` is None where its text is too wrong to look further.

    `base` is the file of the recipe that it builds on, `scorers` those of the recipes whose models score its
    answers; what is found there is among the findings.
    """

    loaded: Loaded
    seen: Glance | None
    findings: tuple[Finding, ...]
    base: Path | None = None
    scorers: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Planned:
    """A plan with what it was made from, as far as it came.

    `base` is the plan that it builds on, `scorers` are those of the models that score its answers.
    """

    result: PlanResult
    loaded: Loaded
    facts: Facts | None = None
    compiler: DataCompiler | None = None
    context: Context | None = None
    base: Planned | None = None
    scorers: tuple[Planned, ...] = ()

    @property
    def rows(self) -> CompiledRows | None:
        """The compiled rows with what they were compiled from; None where nothing was compiled."""
        plan = self.result.plan
        return self.compiler.rows(plan.data) if self.compiler and plan else None


def cache_finding(problem: CacheProblem) -> Finding:
    """The finding for a cache that cannot be used."""
    return Finding(problem.code, problem.message, help=(problem.help,))


def open_cache(recipe: Path) -> Cache:
    """The cache, which notes what uses it."""
    return Cache(user=str(recipe.absolute()))


def damaged(cache: Cache) -> tuple[Finding, ...]:
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


def checked_recipe(  # noqa: PLR0913 - what a recipe is looked at with, each by its name
    path: Path,
    overrides: Sequence[str],
    cache: Cache,
    reach: Reach = HERE,
    *,
    above: tuple[Path, ...] = (),
    variant: Mapping[str, Any] = NO_VARIANT,
    moving: tuple[str, ...] = (),
    home: Path | None = None,
) -> Checked:
    """A recipe against itself, its sources' columns and TRL's options, and so the recipes that it needs.

    Reads no row. `above` are the recipes that build on this one; neither `overrides` nor a `variant` reach
    the base.
    """
    loaded, unread = with_pins(load_recipe(path, overrides, variant, home), moving)
    if loaded.partial is None:
        return Checked(loaded, None, sort_findings(loaded.findings))
    seen = glance(loaded.partial, loaded.origins, cache, loaded.known, reach)
    options = check_trl_options(loaded.partial, loaded.origins)
    options += check_trackers(loaded.partial, loaded.origins)
    hardware = _hardware(loaded.partial, loaded.origins)
    varied = () if variant else _of_variants(path, overrides, loaded)
    said = {(finding.code, finding.span) for finding in loaded.findings}
    found = (*unread, *options, *hardware, *varied, *seen.findings)
    more = [finding for finding in found if (finding.code, finding.span) not in said]
    base = following(loaded.partial, loaded.origins, (*above, path))
    scorers, wrong = scoring(loaded.partial, loaded.origins, (*above, path))
    if isinstance(base, Finding) or wrong:
        wrong += [base] if isinstance(base, Finding) else []
        return Checked(loaded, seen, sort_findings((*loaded.findings, *more, *wrong)))
    needed = scorers if base is None else (base, *scorers)
    moved = moving_below(moving)
    below = [
        checked_recipe(one, (), cache, reach, above=(*above, path), moving=moved).findings for one in needed
    ]
    findings = dict.fromkeys((*loaded.findings, *more, *chain.from_iterable(below)))
    return Checked(loaded, seen, sort_findings(tuple(findings)), base, scorers)


def _of_variants(path: Path, overrides: Sequence[str], loaded: Loaded) -> tuple[Finding, ...]:
    """What is wrong with single values of [sweep], each at its place."""
    if loaded.partial is None or loaded.partial.sweep is None:
        return ()
    found: list[Finding] = []
    for key, tried in loaded.partial.sweep.keys.items():
        values = (tried.low, tried.high) if isinstance(tried, SweepRange) else tried
        for value in values:
            found += load_recipe(path, overrides, {key: value}).findings
    return tuple(finding for finding in dict.fromkeys(found) if finding not in loaded.findings)


def _hardware(recipe: Recipe, origins: Origins) -> tuple[Finding, ...]:
    """What is wrong with [hardware] and with the user's own prices; loads nothing where there are none."""
    if not recipe.hardware.model_fields_set and "FTC_PRICES" not in os.environ:
        return ()
    from ftc.estimate.own_prices import shared_prices
    from ftc.estimate.requested import check_hardware

    return (*check_hardware(recipe, origins), *shared_prices().findings)


def planned(path: Path, options: Options, cache: Cache) -> Planned:
    """The plan; once more from the start where a fetched file turns out damaged, as it was removed."""
    made = _plan_once(path, options, cache)
    again = any(one.kind == "fetched" for one in cache.damaged) and has_errors(made.result.findings)
    return _plan_once(path, options, cache) if again else made


def _plan_once(path: Path, options: Options, cache: Cache) -> Planned:
    from ftc.launch.abstract_runs import abstract_runs

    reach = Reach(fetch=True, progress=options.progress or HERE.progress)
    checked = checked_recipe(
        path,
        options.overrides,
        cache,
        reach,
        variant=options.variant,
        moving=options.moving,
        home=options.home,
    )
    loaded, seen = checked.loaded, checked.seen
    if seen is None or has_errors(checked.findings):
        return Planned(PlanResult(path, checked.findings, None, None, None), loaded)
    moved = moving_below(options.moving)
    own = replace(options, after=None, gpus=None, exact=False)
    below = replace(own, overrides=(), variant={}, moving=moved, home=None)
    base = planned(checked.base, below, cache) if checked.base is not None else None
    made = Planned(
        PlanResult(path, checked.findings, None, None, None),
        loaded,
        base=base,
        scorers=tuple(planned(file, below, cache) for file in checked.scorers),
    )
    needed = made.scorers if base is None else (base, *made.scorers)
    said = (*checked.findings, *chain.from_iterable(one.result.findings for one in needed))
    if not all(one.result.ok for one in needed):
        return _ended(made, said)
    try:
        facts = _facts(seen, made, cache)
        if isinstance(facts, Finding):
            return _ended(made, (*said, facts))
        with abstract_runs(cache, options.progress):
            result, compiler, context = _run_passes(path, loaded, facts, options, cache)
    except CacheProblem as problem:
        return _ended(made, (*said, cache_finding(problem)))
    known = all(one.result.digest is not None for one in needed)  # of a sample's weights nothing is known
    digest = result.digest if known else None
    result = replace(result, findings=sort_findings((*said, *result.findings)), digest=digest)
    return replace(made, result=result, facts=facts, compiler=compiler, context=context)


def _ended(made: Planned, findings: tuple[Finding, ...]) -> Planned:
    """What came of planning where it came to its end early."""
    unique = sort_findings(tuple(dict.fromkeys(findings)))
    return replace(made, result=replace(made.result, findings=unique))


def _facts(seen: Glance, made: Planned, cache: Cache) -> Facts | Finding:
    """The facts of a recipe whose base and reward models are planned."""
    origins = made.loaded.origins
    if made.base is None and not made.scorers:
        return gather(seen, origins, cache)
    from ftc.jobs.chaining import base_facts
    from ftc.jobs.scoring import with_scorers

    model = base_facts(made.base, origins) if made.base is not None else None
    if isinstance(model, Finding):
        return model
    facts = gather(seen, origins, cache, model)
    return facts if isinstance(facts, Finding) else with_scorers(facts, made.scorers, origins)


def _run_passes(
    path: Path, loaded: Loaded, facts: Facts, options: Options, cache: Cache
) -> tuple[PlanResult, DataCompiler, Context]:
    from ftc.data.packing.lengths import read_lengths
    from ftc.facts.suites import with_all_baselines
    from ftc.forecasting.kept import keep
    from ftc.plan.canonical import digest
    from ftc.plan.compiling import DataCompiler
    from ftc.plan.compiling_suites import SuiteCompiler
    from ftc.plan.context import Context
    from ftc.plan.passes.lints import levelled
    from ftc.plan.pipeline import run_passes
    from ftc.plan.steps import Plan

    assert loaded.recipe is not None  # noqa: S101 - a recipe without errors is typed
    after = options.after
    compiler = DataCompiler(facts, loaded.origins, cache, options.progress, options.sample)
    facts = with_all_baselines(facts) if options.baselines else facts
    suites = SuiteCompiler(facts, cache, options.progress, compiler)
    context = Context(
        recipe=loaded.recipe,
        origins=loaded.origins,
        facts=facts,
        compile_data=compiler,
        lay_out=compiler.lay_out,
        lint_results=compiler.lint_results,
        compile_suite=suites,
        compile_baselines=suites.baselines,
        estimated=options.sample is not None,
    )
    start = Plan(name=run_name(loaded.recipe, path), seed=loaded.recipe.seed)
    chosen = _with_gpu(start, context, compiler, cache)
    context = chosen.context
    outcome = run_passes(start, context, after=after)
    sequences = compiler.sequences  # a forecast may lay the rows out otherwise
    whole = outcome.plan if after is not None or outcome.ok else None
    if whole is not None:
        keep(whole, context, cache)
    forecasts, findings = None, outcome.findings + chosen.findings
    if outcome.ok and after is None and not has_errors(findings):
        forecasts, over = _forecast(outcome.plan, context, compiler, options, cache)
        forecasts, findings = replace(forecasts, chosen=chosen.choices), findings + over
    result = PlanResult(
        path=path,
        findings=findings,
        plan=outcome.plan,
        digest=digest(whole) if whole and compiler.sampling is None else None,
        data=compiler.directory,
        sequences=sequences,
        beside=suites.files(outcome.plan),
        lints=levelled(outcome.plan, context) if outcome.plan.data and after in (None, "lints") else None,
        lengths=read_lengths(compiler.directory, cache) if compiler.directory and outcome.plan.data else None,
        sampling=_with_steps(compiler.sampling, outcome.plan, loaded.recipe),
        forecasts=forecasts,
    )
    return result, compiler, context


def _with_gpu(start: Plan, context: Context, compiler: DataCompiler, cache: Cache) -> ChosenGpu:
    """The context with the GPU that the recipe leaves open, where it does and the rows can be compiled."""
    from ftc.estimate.requested import AUTO
    from ftc.forecasting.choose_gpu import ChosenGpu, choose_gpu
    from ftc.plan.pipeline import run_passes

    if context.recipe.hardware.gpu != AUTO:
        return ChosenGpu(context)
    compiled = run_passes(start, context, after="data")
    return choose_gpu(compiled.plan, context, compiler, cache) if compiled.ok else ChosenGpu(context)


def _forecast(
    plan: Plan, context: Context, compiler: DataCompiler, options: Options, cache: Cache
) -> tuple[Forecasts, tuple[Finding, ...]]:
    """What the build takes, and what of that the budget forbids."""
    from ftc.forecasting.budget import budget_findings
    from ftc.forecasting.exact import with_exact
    from ftc.forecasting.forecaster import Forecaster

    forecaster = Forecaster(plan, context, compiler, cache)
    found = forecaster.forecasts(options.gpus)
    if options.exact:
        found = with_exact(found, forecaster)
    return found, budget_findings(found.own, context.recipe, context.origins)


def _with_steps(sampling: Sampling | None, plan: Plan, recipe: Recipe) -> Sampling | None:
    """What is known from a sample, the optimizer steps too where they follow from the rows."""
    stated = recipe.train.steps is not None
    return sampling if sampling is None or stated else sampling.with_steps(plan)


def run_name(recipe: Recipe, path: Path) -> str:
    """The name of the runs: the recipe's own, its file's, or its directory's for recipe.toml."""
    if recipe.name is not None:
        return recipe.name
    return path.resolve().parent.name if path.stem == "recipe" else path.stem
