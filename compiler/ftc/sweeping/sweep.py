"""Build the variants of a recipe one after the other, all planned and checked before the first."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ftc.diagnostics import Finding, has_errors, sort_findings
from ftc.jobs.building import Workshop, built
from ftc.jobs.chaining import directory_of
from ftc.jobs.planning import Options, Planned, Progress, checked_recipe, planned
from ftc.sweeping.check import HELD_OUT, better_of, lacking, no_sweep, repeated, unmeasured
from ftc.sweeping.results import WHOLE, SweepResult, VariantResult, VariantStatus
from ftc.sweeping.search import Search, Trying, search_of
from ftc.sweeping.space import Variant, extremes, known_variants

if TYPE_CHECKING:
    from ftc.facts.cache import Cache
    from ftc.jobs.results import BuildResult
    from ftc.recipe.load import Origins
    from ftc.recipe.sweep import Sweep
    from ftc.runtime.events import Event

Told = Callable[[VariantResult], None]


class PrunedError(Exception):
    """Breaks a variant off after a step; its process stops by itself, with a checkpoint."""

    def __init__(self, step: int) -> None:
        super().__init__(f"after step {step}")
        self.step = step


def _silent(*_: object) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Wishes:
    """How a sweep is to be made: what overrides the recipe, whether to build, where, and whom to tell."""

    overrides: tuple[str, ...] = ()
    runs: Path | None = None
    plan_only: bool = False
    progress: Progress = _silent
    on_event: Callable[[Event], None] = _silent
    on_variant: Told = _silent


@dataclass
class _Plans:
    """The plans of variants, each made once."""

    path: Path
    wishes: Wishes
    cache: Cache
    made: list[tuple[Variant, Planned]] = field(default_factory=list)

    def of(self, variant: Variant) -> Planned:
        """The plan of a variant."""
        for other, plan in self.made:
            if dict(other) == dict(variant):
                return plan
        options = Options(self.wishes.overrides, progress=self.wishes.progress, variant=variant, gpus=None)
        self.made.append((variant, planned(self.path, options, self.cache)))
        return self.made[-1][1]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All that is said of them, once."""
        return sort_findings(finding for _, made in self.made for finding in made.result.findings)


def sweep(path: Path, wishes: Wishes, cache: Cache) -> SweepResult:
    """Plan every variant that is known, then build them; mistakes of any are found before the first is built.

    Variants are runs like others: one that is there is not built again, so a stopped sweep goes on.
    """
    checked = checked_recipe(path, wishes.overrides, cache)
    recipe, origins = checked.loaded.recipe, checked.loaded.origins
    if recipe is None or has_errors(checked.findings):
        return SweepResult(path, checked.findings, "invalid")
    if recipe.sweep is None:
        return SweepResult(path, (*checked.findings, no_sweep(origins)), "invalid")
    missing = lacking(recipe.sweep, origins)
    if missing:
        return SweepResult(path, sort_findings((*checked.findings, *missing)), "invalid")
    return _planned(_Plans(path, wishes, cache), recipe.sweep, origins)


def _planned(plans: _Plans, settings: Sweep, origins: Origins) -> SweepResult:
    """Plan what is known of the variants; go on where nothing is wrong with any."""
    listed = known_variants(settings)
    known = listed if listed is not None else extremes(settings)
    for number, variant in enumerate(known, 1):
        plans.wishes.progress("planning (variants)", number, len(known))
        plans.of(variant)
    whole = [made.result.plan for _, made in plans.made if made.result.ok and made.result.plan is not None]
    more = {one: None for plan in whole for one in unmeasured(settings, plan, origins)}
    same = repeated(plans.made, origins) if len(whole) == len(plans.made) else ()
    findings = sort_findings((*plans.findings, *more, *same))
    result = SweepResult(plans.path, findings, "invalid", settings.metric, searched=listed is None)
    if has_errors(findings) or not whole:
        return result
    result = replace(result, better=better_of(settings, whole[0]))
    if plans.wishes.plan_only:
        return replace(result, status="planned", variants=tuple(_only_planned(v, p) for v, p in plans.made))
    search = search_of(settings, listed, higher=result.better == "higher")
    return _built(plans, search, result)


def _only_planned(variant: Variant, made: Planned) -> VariantResult:
    return VariantResult(variant, made.result.digest, "planned", forecast=made.result.forecast)


def _built(plans: _Plans, search: Search, result: SweepResult) -> SweepResult:
    """Try variants until there is no other, or the sweep is stopped."""
    tried: list[VariantResult] = []
    said: list[Finding] = []
    while (trying := search.ask()) is not None:
        made = plans.of(trying.variant)
        one, findings = _tried(trying, made, plans, result.metric)
        said += findings
        trying.tell(one.value if one.status in WHOLE else None, pruned=one.status == "pruned")
        tried.append(one)
        plans.wishes.on_variant(one)
        if one.status == "stopped":
            break
    statuses = {one.status for one in tried}
    status: Literal["built", "stopped", "failed"] = (
        "stopped" if "stopped" in statuses else "failed" if statuses & {"failed", "invalid"} else "built"
    )
    findings = sort_findings((*result.findings, *plans.findings, *said))
    return replace(result, findings=findings, status=status, variants=tuple(tried))


def _tried(
    trying: Trying, made: Planned, plans: _Plans, metric: str
) -> tuple[VariantResult, tuple[Finding, ...]]:
    """Build one variant, unless its run is there, or it is broken off by its held-out loss."""
    digest, forecast = made.result.digest, made.result.forecast
    if not made.result.ok or made.result.plan is None or digest is None:
        return VariantResult(trying.variant, digest, "invalid"), ()
    place = directory_of(made, plans.wishes.runs)
    unfinished = VariantResult(trying.variant, digest, "pruned", forecast=forecast)
    whole = place.complete.is_dir()
    for step, loss in _heard_before(place.complete if whole else place.partial):
        if trying.report(step, loss) and not whole:
            return replace(unfinished, step=step), ()
    try:
        done = _build(trying, made, plans)
    except PrunedError as pruned:
        return replace(unfinished, step=pruned.step), ()
    return _finished(trying.variant, done, metric, unfinished), done.findings


def _build(trying: Trying, made: Planned, plans: _Plans) -> BuildResult:
    """Build a variant, and what it builds on before that; raises PrunedError."""
    from ftc.runtime.events import HeldOut, Phase

    wishes = plans.wishes
    wishes.on_event(Phase("variant", ", ".join(f"{key} = {value}" for key, value in trying.variant.items())))
    shop = Workshop(wishes.runs, plans.cache, wishes.on_event)
    if made.base is not None:
        below = built(made.base, shop)
        if not below.ok:
            return built(made, shop)

    def heard(event: Event) -> None:
        wishes.on_event(event)
        if isinstance(event, HeldOut) and trying.report(event.step, event.loss):
            raise PrunedError(event.step)

    return built(made, replace(shop, on_event=heard))


def _finished(variant: Variant, done: BuildResult, metric: str, unfinished: VariantResult) -> VariantResult:
    metrics = _measured(done)
    status: VariantStatus = (
        "up to date"
        if done.status == "up to date"
        else "stopped"
        if done.status == "stopped"
        else "built"
        if done.run is not None
        else "failed"
    )
    return VariantResult(
        values=variant,
        digest=done.digest,
        status=status,
        value=metrics.get(metric, metrics.get(metric.removeprefix(f"{HELD_OUT}."))),
        metrics=metrics,
        seconds=_seconds(done.run),
        run=done.run,
        forecast=unfinished.forecast,
    )


def _measured(done: BuildResult) -> Mapping[str, Any]:
    """What was measured after training: of the held-out rows by name, of other suites as SUITE.METRIC."""
    evaluation = done.evaluation or {}
    after = evaluation.get("after")
    found = dict(after) if isinstance(after, Mapping) else {}
    for suite in evaluation.get("suites", ()):
        for one in suite["metrics"]:
            value = one["after"]["value"] if one["after"] is not None else None
            found.setdefault(f"{suite['suite']}.{one['metric']}", value)
    return found


def _heard_before(run: Path) -> Sequence[tuple[int, float]]:
    """The held-out losses that a run, or an unfinished one, has recorded, by step."""
    from ftc.runtime.metrics import METRICS

    file = run / METRICS
    if not file.is_file():
        return ()
    lines = file.read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines if line.endswith("}")]
    return [(record["step"], record["eval_loss"]) for record in records if "eval_loss" in record]


def _seconds(run: Path | None) -> float | None:
    """What a run took, over all of its starts."""
    from ftc.runtime.metrics import TIMING

    if run is None or not (run / TIMING).is_file():
        return None
    sessions = json.loads((run / TIMING).read_text(encoding="utf-8"))["sessions"]
    return float(sum(session["seconds"] for session in sessions))
