"""Execute a plan into a run directory: prepare it, train, and put it in its place once it is whole."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ftc.artifact.chain import ChainedRun, write_chain
from ftc.artifact.documents import Finished, write_documents
from ftc.artifact.events import recorded
from ftc.artifact.files import write_text
from ftc.artifact.inputs_lock import LOCK, lock_text
from ftc.artifact.lock import BusyError, exclusive, wait_until_free
from ftc.artifact.run_directory import (
    DATA,
    RunDirectory,
    add_files,
    changed_since,
    clear,
    evaluation,
    finish,
    is_listed,
    prepare,
    put_in_place,
)
from ftc.artifact.trained import findings as training_findings
from ftc.artifact.trained import trained
from ftc.diagnostics import Finding, Severity
from ftc.launch.local import Job, Outcome, launch
from ftc.plan.steps import Plan
from ftc.runtime.events import Event, Failed, Phase

RECIPE = "recipe.toml"
FULL = {errno.ENOSPC, errno.EDQUOT}
ORPHANED = 120.0
"""Seconds that are waited for the training process of a build that was killed."""


@dataclass(frozen=True)
class Build:
    """All that a build needs: the plan with its bytes and digest, and the places it reads and fills.

    `data` has the compiled rows, `beside` what else belongs there; `sequences` says which of them train
    together, where the plan does; `chain` the runs that this one builds on. `trackers` are told of each step.

    `teacher` gives that of the model which is followed, where the objective has one, and `scorers` those of
    the models that score sampled answers.
    `model` gives the base model's directory, fetching or converting it where that is needed; it is
    asked only once the run is known to be unfinished. `lock` is the content of recipe.lock; what the plan
    alone tells where it is None.
    """

    plan: Plan
    plan_bytes: bytes
    recipe_text: str
    data: Path
    model: Callable[[], Path | Finding]
    runs: Path
    name: str
    digest: str
    sequences: Path | None = None
    chain: tuple[ChainedRun, ...] = ()
    beside: Mapping[str, Path | bytes] = field(default_factory=dict)
    trackers: tuple[str, ...] = ()
    teacher: Callable[[], Path | Finding] | None = None
    scorers: Callable[[], tuple[Path, ...] | Finding] | None = None
    lock: str | None = None

    @property
    def directory(self) -> RunDirectory:
        """Where the run is."""
        return RunDirectory(self.runs, self.name, self.digest)


@dataclass(frozen=True)
class Execution:
    """How a build ended; `run` is the whole run directory, `partial` where an unfinished one waits."""

    status: Literal["done", "up to date", "stopped", "failed"]
    run: Path | None
    partial: Path
    findings: tuple[Finding, ...] = ()
    evaluation: dict[str, Any] = field(default_factory=dict)


def execute(build: Build, on_event: Callable[[Event], None]) -> Execution:
    """Bring the run of a plan to completion, from nothing or from where an earlier build stopped.

    What goes wrong comes back as findings; nothing unfinished stands where a whole run would.
    """
    directory = build.directory
    try:
        directory.complete.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(directory.lock):
            return _locked(build, on_event)
    except BusyError as busy:
        return _failed(directory, _busy(build, busy))
    except BrokenPipeError:
        raise
    except OSError as error:
        return _failed(directory, _unwritten(error, directory))


def _locked(build: Build, on_event: Callable[[Event], None]) -> Execution:
    directory = build.directory
    warnings: tuple[Finding, ...] = ()
    if directory.complete.is_dir():
        changed = changed_since(directory.complete)
        if not changed:
            return _whole(build, "up to date", *_other_card(build))
        warnings = (_set_aside(directory, changed),)
    _wait_for_orphan(directory, on_event)
    if is_listed(directory.partial):
        put_in_place(directory.partial, directory.complete)
        return _whole(build, "done", *warnings)
    _prepare(build)
    outcome = _trained(build, on_event)
    if isinstance(outcome, Finding):
        return _failed(directory, *warnings, outcome)
    if outcome.status != "done":
        return _failed(directory, *warnings, _unfinished(outcome), status=outcome.status)
    write_documents(_finished(build, evaluation(directory.partial)))
    finish(directory.partial, directory.complete)
    return _whole(build, "done", *warnings)


def _whole(build: Build, status: Literal["done", "up to date"], *warnings: Finding) -> Execution:
    """What there is to say of a run that is whole."""
    run = build.directory.complete
    measured = evaluation(run)
    findings = (*warnings, *_of_training(build, run), *failed_gates(measured))
    return Execution(status, run, build.directory.partial, findings, measured)


def _wait_for_orphan(directory: RunDirectory, on_event: Callable[[Event], None]) -> None:
    """Wait for the training process of a build that was killed: it writes a checkpoint, and ends by itself.

    Raises BusyError where it does not.
    """

    def waiting(pid: str) -> None:
        on_event(Phase("wait", f"process {pid} of a build that was killed writes its last checkpoint"))

    wait_until_free(directory.partial / "work" / "lock", ORPHANED, waiting)


def _prepare(build: Build) -> None:
    """Fill the partial run with all that is known before training. Raises OSError."""
    partial = build.directory.partial
    clear(partial)
    prepare(
        partial,
        build.plan,
        plan_bytes=build.plan_bytes,
        recipe_text=build.recipe_text,
        data=build.data,
        sequences=build.sequences,
    )
    write_text(partial / LOCK, lock_text(build.plan) if build.lock is None else build.lock)
    if build.chain:
        write_chain(partial, build.chain)
    add_files(partial, build.beside)


def _trained(build: Build, on_event: Callable[[Event], None]) -> Outcome | Finding:
    """Train in a process of its own; the finding where a model cannot be had. Raises OSError."""
    partial = build.directory.partial
    model = build.model()
    if isinstance(model, Finding):
        return model
    teacher = build.teacher() if build.teacher else None
    if isinstance(teacher, Finding):
        return teacher
    scorers = build.scorers() if build.scorers else ()
    if isinstance(scorers, Finding):
        return scorers
    files = (partial / "plan.json", partial / DATA, model, partial)
    job = Job(*files, build.trackers, teacher=teacher, scorers=scorers)
    return launch(job, recorded(partial, on_event))


def _finished(build: Build, measured: Mapping[str, Any]) -> Finished:
    directory = build.directory
    return Finished(
        plan=build.plan,
        digest=build.digest,
        directory=directory.partial,
        name=build.name,
        recipe_text=build.recipe_text,
        measured=measured,
        about=trained(directory.partial),
        chain=build.chain,
    )


def _of_training(build: Build, run: Path) -> tuple[Finding, ...]:
    return training_findings(trained(run), build.plan, run)


def failed_gates(measured: Mapping[str, Any]) -> tuple[Finding, ...]:
    """An error for each gate of a whole run that does not hold; the run is kept all the same."""
    return tuple(_gate(gate, measured) for gate in measured.get("gates", ()) if not gate["passed"])


def _gate(gate: Mapping[str, Any], measured: Mapping[str, Any]) -> Finding:
    suite = next(suite for suite in measured["suites"] if suite["suite"] == gate["suite"])
    about = next(one for one in suite["metrics"] if one["metric"] == gate["metric"])
    value, base = about["after"], about["before"]
    if value is None:
        message = f"no row of `{gate['suite']}` could be scored, so its gate cannot hold"
        return Finding("FTC730", message, place=gate["suite"])
    held_to = (
        "" if gate["bound"] is None else f", and the gate is {gate['gate']}, that is {gate['bound']:.4g}"
    )
    notes = []
    if value["low"] is not None and value["high"] is not None:
        between = f"{value['low']:.4g} to {value['high']:.4g}"
        notes.append(f"95 % interval after training: {between}, {value['count']:,} rows")
    if base is not None and base["low"] is not None and base["high"] is not None:
        notes.append(f"the base has {base['value']:.4g} ({base['low']:.4g} to {base['high']:.4g})")
    return Finding(
        "FTC730",
        f"{gate['metric']} of `{gate['suite']}` is {value['value']:.4g}{held_to}",
        help=("the run is kept: look at its answers, then change the recipe or the gate",),
        notes=tuple(notes),
    )


def _failed(
    directory: RunDirectory, *findings: Finding, status: Literal["stopped", "failed"] = "failed"
) -> Execution:
    return Execution(status, None, directory.partial, findings)


def _busy(build: Build, busy: BusyError) -> Finding:
    return Finding(
        "FTC707",
        f"another build of the same plan of `{build.name}` is running, as process {busy.pid}",
        place=str(build.directory.partial),
        help=("wait for it; `ftc build` then finds the run complete",),
    )


def _unwritten(error: OSError, directory: RunDirectory) -> Finding:
    """The finding for a run directory that cannot be written."""
    place = str(error.filename or directory.complete)
    if error.errno in FULL:
        return Finding(
            "FTC702",
            "no space is left on the disk of the run directory",
            place=place,
            help=("free some space, then run the same command again",),
        )
    reason = (error.strerror or str(error)).lower()
    return Finding(
        "FTC701",
        f"the run directory cannot be written: {reason}",
        place=place,
        help=("make it writable, or name another directory with --runs",),
    )


def _other_card(build: Build) -> tuple[Finding, ...]:
    """A note where the recipe's [card] is no longer the one that a whole run was built with."""
    from ftc.artifact.cards.stated import stated

    run = build.directory.complete
    if stated((run / RECIPE).read_text(encoding="utf-8")) == stated(build.recipe_text):
        return ()
    return (
        Finding(
            "FTC711",
            f"[card] was changed since the run of `{build.name}` was built, and the run keeps its own",
            place=str(run / "README.md"),
            help=("move the run away and build again to have its cards written anew",),
            severity=Severity.NOTE,
        ),
    )


def _set_aside(directory: RunDirectory, changed: tuple[str, ...]) -> Finding:
    """Move a complete run that is no longer what was built out of the way, and say so."""
    number = 1
    while (aside := directory.complete.with_name(f"{directory.complete.name}.changed-{number}")).exists():
        number += 1
    directory.complete.rename(aside)
    return Finding(
        "FTC709",
        f"the finished run was changed since it was built ({', '.join(changed[:5])}), so it is built again",
        place=str(aside),
        help=("the changed run was moved there; delete it if nothing in it is yours",),
        severity=Severity.WARNING,
    )


def _unfinished(outcome: Outcome) -> Finding:
    if outcome.status == "stopped":
        return Finding(
            "FTC704",
            f"the build was stopped after step {outcome.step}",
            place=str(outcome.log.parent),
            help=("run the same command again: it goes on from there",),
            severity=Severity.NOTE,
        )
    failure = outcome.failure or Failed("FTC703", "the training process failed")
    return Finding(
        failure.code,
        failure.message,
        place=str(outcome.log),
        help=failure.help,
        notes=failure.log,
    )
