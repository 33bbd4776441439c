"""Checkpoints that are whole or not there: staged, sealed with digests, synced, renamed into place."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ftc.artifact.files import put_on_disk, sha256, write_json

SEAL = "sealed.json"
PREFIX = "step-"
KEPT = 2
"""Checkpoints kept at a time: the newest, and the one before should the newest be damaged."""

Needed = Callable[[Path], int | None]
"""Says of a checkpoint which other step's must be kept with it, if one must."""


@dataclass(frozen=True)
class Resumed:
    """The newest whole checkpoint and its step: None and 0 without one.

    `passed` has the names of newer ones that are of no use, each with the reason as the end of a sentence.
    """

    directory: Path | None = None
    step: int = 0
    passed: tuple[tuple[str, str], ...] = ()


def _seal(directory: Path, plan: str) -> None:
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    digests = {path.relative_to(directory).as_posix(): sha256(path) for path in files}
    write_json(directory / SEAL, {"plan": plan, "files": digests})


def _step(directory: Path) -> int:
    return int(directory.name.removeprefix(PREFIX))


def _all(checkpoints: Path) -> list[Path]:
    """Checkpoint directories, the newest first."""
    found = [d for d in checkpoints.glob(f"{PREFIX}*") if d.name.removeprefix(PREFIX).isdecimal()]
    return sorted(found, key=_step, reverse=True)


def staging(checkpoints: Path) -> Path:
    """An empty directory in which the next checkpoint is written."""
    directory = checkpoints / ".staging"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def at(checkpoints: Path, step: int) -> Path:
    """The checkpoint of a step, whether it is there or not."""
    return checkpoints / f"{PREFIX}{step}"


def publish(
    staged: Path, checkpoints: Path, step: int, needed: Needed = lambda _: None, plan: str = ""
) -> Path:
    """Seal a written checkpoint, put it in its place, and drop those that are too old.

    `plan` is the digest of the plan that it belongs to. It is on the disk before an older one is dropped.
    """
    _seal(staged, plan)
    put_on_disk(staged)
    target = at(checkpoints, step)
    shutil.rmtree(target, ignore_errors=True)
    staged.rename(target)
    put_on_disk(checkpoints, deep=False)
    found = _all(checkpoints)
    kept = {needed(directory) for directory in found[:KEPT]}
    for old in found[KEPT:]:
        if _step(old) not in kept:
            shutil.rmtree(old, ignore_errors=True)
    return target


def _sealed(directory: Path) -> tuple[str, dict[str, str]] | None:
    """The plan and the digests that a seal gives; None where it cannot be read."""
    try:
        seal = json.loads((directory / SEAL).read_text(encoding="utf-8"))
        return str(seal["plan"]), dict(seal["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_whole(directory: Path) -> bool:
    """Whether every file of a checkpoint is there with the digest its seal gives."""
    seal = _sealed(directory)
    try:
        return seal is not None and all(sha256(directory / name) == known for name, known in seal[1].items())
    except OSError:
        return False


def _useless(directory: Path, checkpoints: Path, needed: Needed, plan: str) -> str | None:
    """Why a checkpoint cannot be gone on from; None if it can."""
    seal = _sealed(directory)
    if seal is None or not is_whole(directory):
        return "is damaged"
    if plan and seal[0] != plan:
        return "belongs to another plan"
    other = needed(directory)
    if other is None or other == _step(directory) or is_whole(at(checkpoints, other)):
        return None
    return f"needs that of step {other}, which is damaged"


def newest(checkpoints: Path, needed: Needed = lambda _: None, plan: str = "") -> Resumed:
    """The newest checkpoint that is whole, of this plan where its digest is given, and has what it needs."""
    passed: list[tuple[str, str]] = []
    for directory in _all(checkpoints):
        why = _useless(directory, checkpoints, needed, plan)
        if why is None:
            return Resumed(directory, _step(directory), tuple(passed))
        passed.append((directory.name, why))
    return Resumed(passed=tuple(passed))


def drop(checkpoints: Path, names: Iterable[str]) -> None:
    """Remove checkpoints that cannot be used, so that they count for nothing."""
    for name in names:
        shutil.rmtree(checkpoints / name, ignore_errors=True)
