"""Checkpoints that are whole or not there: staged, sealed with digests, then renamed into place."""

from __future__ import annotations

import json
import shutil
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


def publish(staged: Path, checkpoints: Path, step: int) -> Path:
    """Seal a written checkpoint, put it in its place, and drop those that are too old."""
    _seal(staged)
    target = checkpoints / f"{PREFIX}{step}"
    shutil.rmtree(target, ignore_errors=True)
    staged.rename(target)
    for old in _all(checkpoints)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def is_whole(directory: Path) -> bool:
    """Whether every file of a checkpoint is there with the digest its seal gives."""
    try:
        seal = json.loads((directory / SEAL).read_text(encoding="utf-8"))
        return all(sha256(directory / name) == digest for name, digest in seal.items())
    except (OSError, ValueError, AttributeError):
        return False


def newest(checkpoints: Path) -> tuple[Path | None, int, tuple[str, ...]]:
    """The newest whole checkpoint, its step (0 without one), and the names of damaged ones passed over."""
    damaged: list[str] = []
    for directory in _all(checkpoints):
        if is_whole(directory):
            return directory, _step(directory), tuple(damaged)
        damaged.append(directory.name)
    return None, 0, tuple(damaged)
