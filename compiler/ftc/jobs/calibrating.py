"""Measure this machine with a recipe, or a small model of random weights, for later estimates of time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ftc.diagnostics import Finding, Severity, has_errors, sort_findings
from ftc.facts.cache import Cache, CacheProblem
from ftc.jobs.planning import Options, Planned, Progress, cache_finding, damaged, open_cache, planned

if TYPE_CHECKING:
    from ftc.estimate.calibration import Calibration
    from ftc.estimate.duration import Duration
    from ftc.estimate.fit import Target
    from ftc.facts.machine import CudaDevice
    from ftc.launch.local import Job, Outcome
    from ftc.plan.steps import Plan
    from ftc.runtime.events import Event

Status = Literal["measured", "stopped", "failed", "invalid"]

RECIPE = """\
model.base = "model"
data.sources.rows = "rows.jsonl"
data.query = "select id, prompt, completion from rows"
data.split = { eval = 24 }
render.chat = false
lints = { small_eval = "allow" }
train = { steps = 8, batch = 8 }
eval.batch = 8
"""
"""The recipe for a machine without one: rows of 24 to 500 tokens, of which few carry loss."""

BUSY = 0.25
"""Load for each core from which on a machine is not idle."""

WORDS = ("north", "south", "east", "west")
ROWS = 160


@dataclass(frozen=True)
class CalibrateResult:
    """What was measured, and how long a build of the recipe takes by that; both None where nothing was."""

    path: Path | None
    findings: tuple[Finding, ...]
    status: Status
    calibration: Calibration | None = None
    duration: Duration | None = None

    @property
    def ok(self) -> bool:
        """Whether the machine is measured."""
        return self.status == "measured" and not has_errors(self.findings)


def calibrate(
    recipe: str | Path | None = None,
    *,
    set: Sequence[str] = (),  # noqa: A002
    progress: Progress | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> CalibrateResult:
    """Run a few real steps of a recipe's model and tuning on its rows, and keep how long they took.

    Without a recipe a small model of random weights is run. What was measured holds for this machine, its
    number of threads and its version of PyTorch, and `plan` uses it from then on.
    """
    from ftc.plan.pipeline import NAMES

    tell, busy = on_event or (lambda _: None), _busy()
    options = Options(overrides=tuple(set), after=NAMES[-1], progress=progress)  # without forecast and budget
    if recipe is not None:
        result = _calibrate(Path(recipe), options, tell)
        return replace(result, findings=sort_findings((*result.findings, *busy)))
    with tempfile.TemporaryDirectory(prefix="ftc-calibrate-") as directory:
        result = _calibrate(_small(Path(directory)), options, tell)
    return CalibrateResult(None, (*result.findings, *busy), result.status, result.calibration)


def _busy() -> tuple[Finding, ...]:
    """What there is to say of a machine that has other work to do; nothing where the system does not tell."""
    if not hasattr(os, "getloadavg"):
        return ()
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load <= BUSY * cores:
        return ()
    message = f"the machine has other work to do (a load of {load:.1f} on {cores} cores), and is measured so"
    help_ = "measure again once it is idle: until then predicted times are as long as they are now"
    return (Finding("FTC872", message, help=(help_,), severity=Severity.WARNING),)


def _small(directory: Path) -> Path:
    """A recipe over a small model of random weights and rows of very different lengths."""
    subprocess.run([sys.executable, "-m", "ftc.runtime.random_model", str(directory / "model")], check=True)
    rows = [
        {"id": at, "prompt": f"{at} {'where is it? ' * (1 + at * 37 % 37)}", "completion": f" {word}"}
        for at, word in enumerate(WORDS * (ROWS // len(WORDS)))
    ]
    (directory / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (directory / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    return directory / "recipe.toml"


def _calibrate(path: Path, options: Options, tell: Callable[[Event], None]) -> CalibrateResult:
    with open_cache(path) as cache:
        made = planned(path, options, cache)
        if not made.result.ok:
            return CalibrateResult(path, made.result.findings, "invalid")
        result = _measured(path, made, cache, tell)
        findings = sort_findings((*made.result.findings, *result.findings, *damaged(cache)))
        return CalibrateResult(path, findings, result.status, result.calibration, result.duration)


def _measured(path: Path, made: Planned, cache: Cache, tell: Callable[[Event], None]) -> CalibrateResult:
    from ftc.data.kept.batch_lengths import batch_lengths
    from ftc.estimate.architecture import InexpressibleError
    from ftc.estimate.calibration import on_machine
    from ftc.estimate.lowering import training_step
    from ftc.estimate.measured import subject
    from ftc.estimate.workload import workload
    from ftc.launch.abstract_runs import abstract_runs
    from ftc.launch.calibration import calibrate as measure

    plan, data = made.result.plan, made.result.data
    assert plan is not None  # noqa: S101 - the caller has looked
    assert plan.data is not None  # noqa: S101
    assert data is not None  # noqa: S101
    assert made.facts is not None  # noqa: S101
    try:
        target = _target(made.facts.gpu)
        step = training_step(plan, made.facts.model.config, device=target, others=made.facts.others)
        labels = plan.eval.labels if plan.eval else ()
        lengths = batch_lengths(data, made.result.sequences, plan.data, labels)
        with abstract_runs(cache), cache.scratch() as directory:
            work, about = workload(plan, step, lengths), subject(plan, step)
            job = _job(directory / "run", made, cache)
            if isinstance(job, Finding):
                return CalibrateResult(path, (job,), "failed")
            outcome, found = measure(plan, step, job, tell)
    except InexpressibleError as error:
        return CalibrateResult(path, (_uncounted(error, plan),), "failed")
    except CacheProblem as problem:
        return CalibrateResult(path, (cache_finding(problem),), "failed")
    except OSError as error:
        return CalibrateResult(path, (_unwritten(error, path),), "failed")
    if found is None:
        return CalibrateResult(path, _ended(outcome), "stopped" if outcome.status == "stopped" else "failed")
    return CalibrateResult(path, (), "measured", found, on_machine(work, found, about))


def _target(gpu: CudaDevice | None) -> Target | None:
    """The GPU of this machine, as far as it decides which kernels run."""
    from ftc.estimate.fit import Target

    return None if gpu is None else Target(gpu.name, gpu.memory, "sm_{}{}".format(*gpu.capability))


def _job(directory: Path, made: Planned, cache: Cache) -> Job | Finding:
    """A directory with the plan and its rows, as a build has it, and the model."""
    from ftc.artifact.run_directory import DATA, add_files, prepare
    from ftc.jobs.building import begun_with
    from ftc.launch.local import Job
    from ftc.plan.canonical import canonical_bytes

    result = made.result
    assert result.plan is not None  # noqa: S101 - the caller has looked
    assert result.data is not None  # noqa: S101
    assert made.facts is not None  # noqa: S101
    prepare(
        directory,
        result.plan,
        plan_bytes=canonical_bytes(result.plan),
        recipe_text=made.loaded.text,
        data=result.data,
        sequences=result.sequences,
    )
    add_files(directory, result.beside)
    try:
        model = begun_with(made, None, cache)
    except CacheProblem as problem:
        return cache_finding(problem)
    return (
        model
        if isinstance(model, Finding)
        else Job(directory / "plan.json", directory / DATA, model, directory)
    )


def _uncounted(error: Exception, plan: Plan) -> Finding:
    return Finding(
        "FTC870",
        f"what the recipe runs cannot be counted: {error}",
        place=plan.model.location if plan.model else "",
        help=("run `ftc calibrate` without a recipe: it measures the machine with a model of its own",),
    )


def _unwritten(error: OSError, path: Path) -> Finding:
    reason = (error.strerror or str(error)).lower()
    return Finding(
        "FTC701",
        f"the calibration cannot be written: {reason}",
        place=str(error.filename or path.parent),
        help=("make it writable, or set FTC_CACHE_DIR to a directory that is",),
    )


def _ended(outcome: Outcome) -> tuple[Finding, ...]:
    """The findings of a process that measured nothing."""
    failure = outcome.failure
    if outcome.status == "stopped" or failure is None:
        message = "the measurement was stopped, and nothing is kept of it"
        return (Finding("FTC871", message, help=("run the same command again",), severity=Severity.NOTE),)
    return (Finding(failure.code, failure.message, help=failure.help, notes=failure.log),)
