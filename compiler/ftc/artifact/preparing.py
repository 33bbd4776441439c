"""What a build does before its run begins, noted in the cache so that another process can follow it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from ftc.artifact.files import write_text
from ftc.artifact.run_list import PARTIAL, builder, directories, is_alive

PLACE = "building"
"""The directory in the cache: a file for each build that a living process has begun."""
EVERY = 0.25
"""Seconds between two notes of one phase."""

Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Preparing:
    """A build as it was noted last: whose it is, what it works on, and how it ended (`` while it goes on)."""

    process: int
    recipe: str
    runs: str
    phase: str = ""
    done: int = 0
    total: int | None = None
    status: str = ""
    file: Path = field(default=Path(), compare=False)

    def again(self) -> Preparing | None:
        """The same build as it is noted now; None where its process is gone and has not said how it ended."""
        now = _read(self.file)
        return now if now is not None and (now.status or is_alive(now.process)) else None

    def run(self) -> Path | None:
        """The unfinished run that the build works on, once there is one."""
        places = directories(Path(self.runs))
        own = (one for one in places if one.name.endswith(PARTIAL) and builder(one) == self.process)
        return next(own, None)


class Noted:
    """Notes how a build's data stages go on, and hands it on; what cannot be written stops no build."""

    def __init__(self, root: Path, recipe: Path, runs: Path, progress: Progress | None) -> None:
        self._progress = progress
        self._said = 0.0
        recipe = recipe.resolve()
        name = f"{os.getpid()}-{sha256(os.fsencode(recipe)).hexdigest()[:8]}.json"
        self._now = Preparing(os.getpid(), str(recipe), str(runs.resolve()), file=root / PLACE / name)
        _clear(root / PLACE)
        self._write()

    def __call__(self, phase: str, done: int, total: int | None) -> None:
        """So many rows of a phase are done."""
        due = phase != self._now.phase or time.monotonic() - self._said > EVERY
        if due:
            self._now = Preparing(
                self._now.process, self._now.recipe, self._now.runs, phase, done, total, file=self._now.file
            )
            self._write()
        if self._progress is not None:
            self._progress(phase, done, total)

    def close(self, status: str) -> None:
        """The build has ended, and how; the note stays until another build begins, for those who follow."""
        now = self._now
        self._now = Preparing(now.process, now.recipe, now.runs, status=status, file=now.file)
        self._write()

    def _write(self) -> None:
        self._said = time.monotonic()
        told = {name: value for name, value in asdict(self._now).items() if name != "file"}
        try:
            self._now.file.parent.mkdir(parents=True, exist_ok=True)
            write_text(self._now.file, json.dumps(told))
        except OSError:
            return


def preparing(root: Path, place: Path) -> Preparing | None:
    """The build of a recipe at or below a place, or with runs there, that goes on; of several the latest."""
    here = place.resolve()
    found = [one for one in _noted(root / PLACE) if not one.status and is_alive(one.process)]
    below = [one for one in found if _is_below(here, Path(one.recipe)) or _is_below(here, Path(one.runs))]
    return max(below, key=lambda one: _changed(one.file), default=None)


def _is_below(place: Path, path: Path) -> bool:
    return path == place or place in path.parents


def _changed(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def _noted(directory: Path) -> Iterator[Preparing]:
    for file in sorted(directory.glob("*.json")):
        one = _read(file)
        if one is not None:
            yield one


def _read(file: Path) -> Preparing | None:
    try:
        told: dict[str, Any] = json.loads(file.read_bytes())
        return Preparing(**told, file=file)
    except (OSError, ValueError, TypeError):
        return None  # gone, or of another release of ftc


def _clear(directory: Path) -> None:
    """Remove what ended builds have left."""
    for one in _noted(directory):
        if not is_alive(one.process):
            one.file.unlink(missing_ok=True)
