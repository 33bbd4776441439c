"""Checkpoints that are whole or not there: staged, sealed with digests, then renamed into place."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from ftc.artifact.files import sha256, write_json

SEAL = "sealed.json"
PREFIX = "step-"
KEPT = 2
"""Checkpoints kept at a time: the newest, and the one before should the newest be damaged."""


def _seal(directory: Path) -> None:
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    write_json(directory / SEAL, {path.relative_to(directory).as_posix(): sha256(path) for path in files})


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
    staged: Path, checkpoints: Path, step: int, needed: Callable[[Path], int | None] = lambda _: None
) -> Path:
    """Seal a written checkpoint, put it in its place, and drop those that are too old.

    `needed` says of a checkpoint which other step's must be kept with it, if one must.
    """
    _seal(staged)
    target = at(checkpoints, step)
    shutil.rmtree(target, ignore_errors=True)
    staged.rename(target)
    found = _all(checkpoints)
    kept = {needed(directory) for directory in found[:KEPT]}
    for old in found[KEPT:]:
        if _step(old) not in kept:
            shutil.rmtree(old, ignore_errors=True)
    return target


def is_whole(directory: Path) -> bool:
    """Whether every file of a checkpoint is there with the digest its seal gives."""
    try:
        seal = json.loads((directory / SEAL).read_text(encoding="utf-8"))
        return all(sha256(directory / name) == digest for name, digest in seal.items())
    except (OSError, ValueError, AttributeError):
        return False


def newest(
    checkpoints: Path, needed: Callable[[Path], int | None] = lambda _: None
) -> tuple[Path | None, int, tuple[str, ...]]:
    """The newest whole checkpoint, its step (0 without one), and the names of damaged ones passed over.

    A checkpoint that needs another step's is of use only if that one is whole too.
    """
    damaged: list[str] = []
    for directory in _all(checkpoints):
        if not is_whole(directory):
            damaged.append(directory.name)
            continue
        other = needed(directory)
        if other is None or other == _step(directory) or is_whole(at(checkpoints, other)):
            return directory, _step(directory), tuple(damaged)
    return None, 0, tuple(damaged)
