"""Finished runs on suites, later: of a recipe, shipped ones, or with training examples in the prompt."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.diagnostics import Finding, Severity, has_errors
from ftc.facts.cache import Cache, CacheProblem
from ftc.jobs.planning import Options, Planned, cache_finding, open_cache, planned
from ftc.recipe.toml_text import to_toml

if TYPE_CHECKING:
    from ftc.plan.steps import Plan
    from ftc.runtime.events import Event
    from ftc.runtime.job import Job

TOLD = ("FTC564",)
"""Findings of a suite's plan that are told though they are no errors."""

Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class EvalResult:
    """What was measured on a run: `evaluation` as eval.json has it, in `directory` beside the run."""

    path: Path
    findings: tuple[Finding, ...]
    directory: Path | None = None
    evaluation: dict[str, Any] | None = None
    stopped: bool = False

    @property
    def ok(self) -> bool:
        """Whether the suites were measured."""
        return self.evaluation is not None

    @property
    def gates_failed(self) -> bool:
        """Whether a gate of the suites does not hold."""
        return any(not gate["passed"] for gate in (self.evaluation or {}).get("gates", ()))


@dataclass(frozen=True)
class Heard:
    """Whom the work tells of data that is read, and of what the runtime does."""

    progress: Progress | None = None
    on_event: Callable[[Event], None] = lambda _: None


NOBODY = Heard()


def evaluate(
    run: Path, suite: str, heard: Heard = NOBODY, *, baselines: bool = False, overrides: Sequence[str] = ()
) -> EvalResult:
    """Measure a run on the suites of a recipe, or on a shipped one by its name.

    The result lies beside the run, which is sealed: in RUN.evals, under the digest of what was measured. It
    is found there when it is asked for again. With `baselines` each suite has all of them.
    """
    plan = _plan_of(run)
    if isinstance(plan, Finding):
        return EvalResult(run, (plan,))
    with tempfile.TemporaryDirectory(prefix="ftc-eval-") as scratch:
        recipe = _recipe(run, plan, suite, Path(scratch))
        if isinstance(recipe, Finding):
            return EvalResult(run, (recipe,))
        cache = open_cache(recipe)
        options = Options(tuple(overrides), progress=heard.progress, baselines=baselines)
        made = planned(recipe, options, cache)
        told = tuple(one for one in made.result.findings if _is_told(one))
        if has_errors(told) or made.result.plan is None:
            return EvalResult(run, told)
        asked = _asked(plan, made)
        if isinstance(asked, Finding):
            return EvalResult(run, (*told, asked))
        found = _measured(run, asked, made, cache, heard)
        return replace(found, findings=(*told, *found.findings))


def built_run(recipe: Path, overrides: Sequence[str], runs: Path | None) -> Path | tuple[Finding, ...]:
    """The finished run of a recipe as it stands, or why there is none."""
    from ftc.artifact.run_directory import RunDirectory

    made = planned(recipe, Options(tuple(overrides)), open_cache(recipe))
    result = made.result
    if result.plan is None or result.digest is None or has_errors(result.findings):
        return result.findings
    place = RunDirectory(runs or recipe.parent / "runs", result.plan.name, result.digest).complete
    if place.is_dir():
        return place
    message = f"the recipe has no finished run, so there is no tuned model to compare with: {place}"
    return (Finding("FTC732", message, place=str(recipe), help=(f"build it first: ftc build {recipe}",)),)


def _is_told(finding: Finding) -> bool:
    return finding.severity is Severity.ERROR or finding.code in TOLD


def _plan_of(run: Path) -> Plan | Finding:
    from pydantic import ValidationError

    from ftc.artifact.run_directory import changed_since
    from ftc.plan.steps import Plan

    try:
        plan = Plan.model_validate_json((run / "plan.json").read_bytes())
        whole = not changed_since(run)
    except (OSError, ValidationError):
        return _no_run(run, "it has no plan that this release reads")
    return plan if whole else _no_run(run, "its files are not those of its manifest")


def _no_run(run: Path, why: str) -> Finding:
    help_ = "name a finished run directory: runs/NAME/DIGEST"
    return Finding("FTC732", f"`{run}` cannot be evaluated: {why}", place=str(run), help=(help_,))


def _recipe(run: Path, plan: Plan, suite: str, scratch: Path) -> Path | Finding:
    """The recipe whose suites are asked for; of a shipped suite one that is written for it."""
    from ftc.evaluation.suites import SUITES

    if suite.endswith(".toml") or Path(suite).is_file():
        return Path(suite)
    if suite not in SUITES:
        message = f"`{suite}` is no recipe, and no suite that ftc ships"
        return Finding("FTC732", message, help=(f"ftc ships {', '.join(SUITES)}",))
    assert plan.model is not None  # noqa: S101 - the plan of a run is whole
    location = _location(run, plan, open_cache(run / "recipe.toml"))
    if isinstance(location, Finding):
        return location
    model: dict[str, Any] = {"base": location, "dtype": plan.model.dtype}
    if plan.model.revision is not None and plan.model.kind == "hub":
        model["revision"] = plan.model.revision
    if plan.render is not None and plan.render.chat_template is not None:
        (scratch / "template.jinja").write_text(plan.render.chat_template, encoding="utf-8")
        model["chat_template"] = "template.jinja"
    rows = f"package://ftc/evaluation/suites/{suite}.jsonl"
    query = "select prompt, '-' as completion from rows"
    values = {
        "name": suite,
        "project": {"allow": [str(Path(Path.cwd().anchor))]},  # it names what the run was made of
        "model": model,
        "data": {"sources": {"rows": rows}, "query": query},
        "train": {"steps": 1, "batch": 1, "micro_batch": 1},
        "eval": {"suite": suite},
    }
    path = scratch / "recipe.toml"
    path.write_text(to_toml(values), encoding="utf-8")
    return path


def _location(run: Path, plan: Plan, cache: Cache) -> str | Finding:
    """The base model as the new recipe names it: directories relative to the recipe that made the run.

    Of a run that builds on another it is what that other one made, wherever chain.json says it is.
    """
    assert plan.model is not None  # noqa: S101 - the plan of a run is whole
    location = plan.model.location
    if plan.model.kind == "run":
        found = _below(run, cache)
        return found if isinstance(found, Finding) else str(found)
    if plan.model.kind == "hub" or "://" in location:
        return location
    places = [home / location for home in (run.absolute().parents[2], Path.cwd())]
    return str(next((place.resolve() for place in places if place.exists()), location))


def _below(run: Path, cache: Cache) -> Path | Finding:
    """The whole weights that a run began with, of the run that its chain.json names."""
    from ftc.jobs.opening import opened

    found = opened(run, cache)
    return found if isinstance(found, Finding) else found.base()


def _asked(run: Plan, made: Planned) -> Plan | Finding:
    """What is measured: the suites of the recipe, on the model of the run."""
    suites = made.result.plan
    assert suites is not None  # noqa: S101 - the caller has looked
    assert suites.model is not None  # noqa: S101
    assert run.model is not None  # noqa: S101
    if not suites.all_suites:
        return Finding("FTC732", "the recipe has no suite that could be measured", help=("add [[eval]]",))
    parts: tuple[str, ...] = ("config_sha256", "tokenizer_sha256", "weights")
    if suites.model.kind == "run":
        parts = (*parts, "kind", "revision")
    elif run.model.kind == "run":  # the suites are on the merged weights of the very run below
        parts = ("tokenizer_sha256",)
    other = [part for part in parts if getattr(run.model, part) != getattr(suites.model, part)]
    if other:
        message = "the run was tuned from another base model than that of the recipe with the suites"
        notes = (f"the run has `{run.model.location}`, the recipe `{suites.model.location}`",)
        return Finding("FTC732", message, help=("name the same base in both",), notes=notes)
    changes = {name: getattr(run, name) for name in ("name", "model", "tune", "objective")}
    return suites.model_copy(update={**changes, "choices": ()})


def _measured(run: Path, plan: Plan, made: Planned, cache: Cache, heard: Heard) -> EvalResult:
    from ftc.artifact.build import failed_gates
    from ftc.artifact.run_directory import changed_since, evaluation, finish
    from ftc.launch.local import launch
    from ftc.plan.canonical import digest

    directory = run.with_name(f"{run.name}.evals") / digest(plan)[:16]
    if directory.is_dir() and not changed_since(directory):
        found = evaluation(directory)
        return EvalResult(run, failed_gates(found), directory, found)
    partial = directory.with_name(f"{directory.name}.partial")
    job = _job(run, plan, made, cache, partial)
    if isinstance(job, Finding):
        return EvalResult(run, (job,))
    outcome = launch(job, heard.on_event)
    if outcome.status != "done":
        failure = outcome.failure
        message = failure.message if failure else "the evaluation was stopped"
        code, helps = (failure.code, failure.help) if failure else ("FTC704", ())
        severity = Severity.ERROR if failure else Severity.NOTE
        wrong = Finding(code, message, place=str(outcome.log), help=helps, severity=severity)
        return EvalResult(run, (wrong,), stopped=outcome.status == "stopped")
    shutil.rmtree(partial / "data")
    shutil.rmtree(directory, ignore_errors=True)
    finish(partial, directory)
    found = evaluation(directory)
    return EvalResult(run, failed_gates(found), directory, found)


def _job(run: Path, plan: Plan, made: Planned, cache: Cache, directory: Path) -> Job | Finding:
    """A directory beside the run with the plan and the compiled rows, and the models."""
    from ftc.artifact.run_directory import DATA, add_files, prepare
    from ftc.jobs.building import begun_with
    from ftc.plan.canonical import canonical_bytes
    from ftc.runtime.job import Job

    result = made.result
    assert plan.model is not None  # noqa: S101 - the caller has looked
    assert result.data is not None  # noqa: S101
    assert made.facts is not None  # noqa: S101
    prepare(
        directory,
        plan,
        plan_bytes=canonical_bytes(plan),
        recipe_text=made.loaded.text,
        data=result.data,
        sequences=result.sequences,
    )
    add_files(directory, result.beside)
    try:
        model = _below(run, cache) if plan.model.kind == "run" else begun_with(made, None, cache)
    except CacheProblem as problem:
        return cache_finding(problem)
    if isinstance(model, Finding):
        return model
    return Job(directory / "plan.json", directory / DATA, model, directory, tuned=run / "model")
