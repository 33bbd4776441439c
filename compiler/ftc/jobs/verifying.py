"""Finished runs, checked: as they lie there, and by building them once more in an empty directory."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.artifact.chain import MODEL
from ftc.artifact.inputs_lock import LOCK, Entries
from ftc.artifact.lock_reading import UnreadableLockError, differences, inputs_of, read_entries, subject
from ftc.artifact.run_directory import DATA, MANIFEST, UNLISTED
from ftc.artifact.verify import Check, verify
from ftc.artifact.verify_files import read_list
from ftc.diagnostics import Finding, Severity, has_errors
from ftc.facts.cache import Cache, CacheProblem

if TYPE_CHECKING:
    from ftc.jobs.planning import Planned, Progress
    from ftc.jobs.results import BuildResult
    from ftc.plan.steps import Plan
    from ftc.runtime.events import Event

MACHINE = "environment.json"
RECIPE = "recipe.toml"
MOST = 12
"""Differences that are named one by one."""


@dataclass(frozen=True)
class VerifyResult:
    """What came of verifying a run, in the order in which it was looked at."""

    run: Path
    checks: tuple[Check, ...]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with it."""
        return not has_errors(self.findings)


@dataclass(frozen=True)
class Rebuild:
    """How a run is to be rebuilt: where its recipe's paths begin, where it is kept, and who is told.

    `inputs` is the directory above the runs unless given. What is built is removed again without `keep`.
    """

    inputs: Path | None = None
    keep: Path | None = None
    progress: Progress | None = None
    on_event: Callable[[Event], None] = lambda _: None


def verify_run(run: Path, *, key: Path | None = None, rebuild: Rebuild | None = None) -> VerifyResult:
    """Check a run's files and parts, its signature with a public `key`, and by rebuilding it."""
    if not (run / MANIFEST).is_file() and not (run / "plan.json").is_file():
        return VerifyResult(run, (), (_no_run(run),))
    found = verify(run)
    checks = [*found.checks, _signature(run, key)]
    findings = tuple(finding for check in checks for finding in check.findings)
    if rebuild is not None and found.plan is not None and not has_errors(findings):
        checks.append(_rebuilt(run, found.plan, rebuild))
        findings += checks[-1].findings
    elif rebuild is not None:
        checks.append(Check("rebuilt", open="not tried, as the run is not what was built"))
    return VerifyResult(run, tuple(checks), findings)


def _no_run(run: Path) -> Finding:
    unfinished = run.name.endswith(".partial")
    message = "this run is not finished" if unfinished else "there is no run here: it has no MANIFEST.sha256"
    help_ = "go on with `ftc build`" if unfinished else "name a directory such as runs/NAME/DIGEST"
    return Finding("FTC755", message, place=str(run), help=(help_,))


def _signature(run: Path, key: Path | None) -> Check:
    from ftc.artifact.sign import check_signature

    return check_signature(run, key)


def _rebuilt(run: Path, plan: Plan, how: Rebuild) -> Check:
    """Build the run's plan once more, and compare the weights and the compiled rows to the byte."""
    from ftc.jobs.planning import Options, cache_finding, planned

    home = (how.inputs or run.resolve().parents[2]).absolute()
    with _workplace(how.keep) as place:
        recipe = _recipe(run, plan.name, place)
        try:
            with Cache(place / "cache") as cache:
                made = planned(recipe, Options(progress=how.progress, gpus=None, home=home), cache)
                missing = _unplanned(run, plan, made, home)
                done = None if missing else _build(made, place / "runs", cache, how)
        except CacheProblem as problem:
            return Check("rebuilt", findings=(cache_finding(problem),))
        if done is None:
            return Check("rebuilt", findings=missing)
        return _outcome(run, done)


def _outcome(run: Path, done: BuildResult) -> Check:
    if done.run is None:
        return Check("rebuilt", findings=(_impossible("it could not be built"), *_errors(done.findings)))
    return _compared(run, done.run)


@contextmanager
def _workplace(keep: Path | None) -> Iterator[Path]:
    """An empty directory, which is removed again unless it is to be kept."""
    place = Path(tempfile.mkdtemp(prefix="ftc-rebuild-")) if keep is None else keep
    place.mkdir(parents=True, exist_ok=True)
    try:
        yield place
    finally:
        shutil.rmtree(place / "cache" if keep else place, ignore_errors=True)


def _recipe(run: Path, name: str, place: Path) -> Path:
    """The run's recipe and its lock, in a directory with the name by which the run is known."""
    directory = place / "recipe" / name
    directory.mkdir(parents=True, exist_ok=True)
    for file in (RECIPE, LOCK):
        shutil.copyfile(run / file, directory / file)
    return directory / RECIPE


def _build(made: Planned, runs: Path, cache: Cache, how: Rebuild) -> BuildResult:
    from ftc.jobs.building import Workshop, built

    return built(made, Workshop(runs, cache, how.on_event))


def _errors(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    return tuple(one for one in findings if one.severity is Severity.ERROR)


def _impossible(why: str, *notes: str, help_: str = "") -> Finding:
    return Finding(
        "FTC757",
        f"the run cannot be rebuilt here: {why}",
        help=(help_,) if help_ else (),
        notes=notes,
    )


def _unplanned(run: Path, plan: Plan, made: Planned, home: Path) -> tuple[Finding, ...]:
    """Why the same plan cannot be made here; nothing where it can."""
    from ftc.jobs.locking import lock_entries

    where = f"its recipe's paths are looked for in {home}: --inputs names another directory"
    locked = _locked(run)
    if not made.result.ok or made.result.plan is None:
        needs = tuple(f"it needs {line}" for line in needed(locked))
        return (_impossible("an input is missing", *needs, help_=where), *_errors(made.result.findings))
    if made.result.plan == plan:
        return ()
    found = differences(locked, lock_entries(made))
    if found:
        return tuple(_impossible(one.sentence, help_=where) for one in found)
    changed = tuple(f"{path}: {new!r}, and the run has {old!r}" for path, old, new in _leaves(plan, made))
    return (_impossible("its recipe makes another plan on this machine", *changed[:MOST]),)


def _locked(run: Path) -> Entries:
    try:
        return read_entries((run / LOCK).read_text(encoding="utf-8"))
    except UnreadableLockError:
        return {}


def needed(locked: Entries) -> tuple[str, ...]:
    """The inputs that a lock lists, with where each is, in words."""
    lines = []
    for name in inputs_of(locked):
        at = next((value for path, value in locked.items() if _is_place(name, path)), None)
        if name == "packages":
            versions = [f"{path[1]} {value}" for path, value in locked.items() if path[0] == "packages"]
            lines.append(f"the packages {', '.join(versions)}")
        elif at is not None:
            lines.append(f"{subject(name)} at {at}")
    return tuple(lines)


def _is_place(name: str, path: tuple[str, ...]) -> bool:
    parts = tuple(name.split(".", 1))
    return path[: len(parts)] == parts and path[len(parts) :] in (("location",), ("recipe",))


def _leaves(plan: Plan, made: Planned) -> Iterator[tuple[str, Any, Any]]:
    """What differs between the run's plan and the one that was made here: the machine first, no reasons."""
    assert made.result.plan is not None  # noqa: S101 - the caller has looked
    old = dict(_flat(plan.model_dump(mode="json", exclude={"choices"}), ""))
    new = dict(_flat(made.result.plan.model_dump(mode="json", exclude={"choices"}), ""))
    for path in sorted({*old, *new}, key=lambda path: (not path.startswith("environment."), path)):
        if old.get(path) != new.get(path):
            yield path, old.get(path), new.get(path)


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _flat(inner, f"{path}.{number}")
    else:
        yield path, value


def _compared(run: Path, again: Path) -> Check:
    """Weights and compiled rows to the byte; other files that differ are told."""
    old, new = (read_list(one / MANIFEST, sizes=True) for one in (run, again))
    changed = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    decisive = [name for name in changed if name.partition("/")[0] in (MODEL, DATA)]
    others = [name for name in changed if name not in decisive and name not in UNLISTED]
    findings = tuple(
        Finding(
            "FTC758",
            f"`{name}` is not the same when the run is built again",
            place=str(run / name),
            help=(f"compare {MACHINE} of the two: the machines may differ",),
        )
        for name in decisive[:MOST]
    )
    compared = sum(name.partition("/")[0] in (MODEL, DATA) for name in old)
    said = f"{compared} files of weights and compiled rows are the same to the byte"
    also = f"not the same: {', '.join(others[:MOST])}" if others else ""
    return Check("rebuilt", said, findings, also)
