"""The lock in the work of a plan and of a build: their inputs are held to it, and it is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.diagnostics import Finding, Severity, sort_findings
from ftc.facts.cache import Cache
from ftc.jobs.chaining import bases
from ftc.jobs.locking import (
    ALL,
    LockCheck,
    check_lock,
    known_inputs,
    lock_findings,
    lock_path,
    updated,
    write_lock,
)
from ftc.jobs.results import LockResult
from ftc.recipe.suggest import closest, listed

if TYPE_CHECKING:
    from ftc.jobs.planning import Planned, Progress


def held(made: Planned, *, strict: bool) -> tuple[Finding, ...]:
    """How the inputs of a plan differ from its recipe's lock; nothing where it is not whole.

    Differences are errors where `strict`, and so is a lock that is not there.
    """
    if not made.result.ok:
        return ()
    check = check_lock(made)
    return lock_findings(check, made.loaded.origins, made.result.path, strict=strict)


def first_locks(made: Planned) -> tuple[tuple[Path, ...], tuple[Finding, ...]]:
    """Write the locks that are missing: of a whole plan's recipe, and of those whose results it needs."""
    written, findings = [], []
    for one in (*bases(made), made):
        path = lock_path(one.result.path)
        if not one.result.ok or path.exists() or path in written:
            continue
        problem = write_lock(path, check_lock(one).entries)
        if problem is None:
            written.append(path)
        else:
            findings.append(problem)
    return tuple(written), tuple(dict.fromkeys(findings))


def unwritten(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Locks that a build could not write: it goes on without them, and says so."""
    return tuple(
        Finding(one.code, one.message, place=one.place, help=one.help, severity=Severity.NOTE)
        for one in findings
    )


def relock(path: Path, update: Sequence[str], progress: Progress | None, cache: Cache) -> LockResult:
    """Write a recipe's lock: all of it as the inputs are now, or only those in `update`.

    What the lock pins on the hub stays where it is unless it is named in `update`.
    """
    from ftc.jobs.planning import Options, damaged, planned

    made = planned(path, Options(progress=progress, gpus=None, moving=tuple(update)), cache)
    findings = sort_findings((*made.result.findings, *damaged(cache)))
    if not made.result.ok:
        return LockResult(path, findings, lock_path(path))
    check = check_lock(made)
    unknown = _unknown(check, update)
    if unknown is not None:
        return LockResult(path, sort_findings((*findings, unknown)), check.path)
    below, problems = first_locks(made) if made.base is not None or made.scorers else ((), ())
    return _relocked(made, check, update, (*findings, *problems), below)


def _relocked(
    made: Planned,
    check: LockCheck,
    update: Sequence[str],
    findings: tuple[Finding, ...],
    below: Sequence[Path],
) -> LockResult:
    entries = updated(check, update) if update else check.entries
    moved = tuple(one for one in check.found if not update or ALL in update or one.input in update)
    left = tuple(one for one in check.found if one not in moved)
    written = tuple(path for path in below if path != check.path)
    if entries != check.locked:
        problem = write_lock(check.path, entries)
        findings = findings if problem is None else (*findings, problem)
        written += (check.path,) if problem is None else ()
    return LockResult(
        path=made.result.path,
        findings=sort_findings(findings),
        lock=check.path,
        written=written,
        moved=moved,
        left=left,
        inputs=known_inputs(check),
    )


def _unknown(check: LockCheck, update: Sequence[str]) -> Finding | None:
    """The finding for a name in `update` that no input has."""
    names = known_inputs(check)
    wrong = next((name for name in update if name != ALL and name not in names), None)
    if wrong is None:
        return None
    near = closest(wrong, names)
    help_ = f"did you mean `{near[0]}`?" if near else f"the inputs are {listed(names, most=20)}, or `{ALL}`"
    return Finding("FTC754", f"the lock has no input `{wrong}`", place=str(check.path), help=(help_,))
