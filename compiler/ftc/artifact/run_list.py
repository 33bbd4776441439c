"""All runs below a directory, whole and unfinished, each told from its own small files."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ftc.artifact.run_directory import MANIFEST

State = Literal["whole", "running", "unfinished", "changed", "damaged"]
PARTIAL = ".partial"
DEEPEST = 6
"""Directories below the one asked about in which runs are looked for."""
MOST_DIRECTORIES = 20_000
"""Directories that are looked into at most, so that a search in a large tree ends."""

_RUN = re.compile(r"^(?P<digest>[0-9a-f]{16})(?P<rest>\.partial|\.changed-\d+)?$")
_SKIPPED = frozenset({"node_modules", "__pycache__", "site-packages", "checkpoints", "venv"})


@dataclass(frozen=True)
class Run:
    """A run as its files tell it; `step` is how far an unfinished one came, `bytes` what its files take.

    `suites` are those of eval.json, `ended` the time at which the last start
    ended, or at which an unfinished run was last written, in ISO 8601, `seconds`
    what all starts took.
    """

    place: Path
    name: str
    digest: str
    state: State
    objective: str = ""
    method: str = ""
    base: str = ""
    step: int | None = None
    steps: int | None = None
    bytes: int | None = None
    ended: str | None = None
    seconds: float | None = None
    suites: tuple[dict[str, Any], ...] = field(default=(), repr=False)

    @property
    def gates(self) -> tuple[int, int]:
        """How many gates hold, of how many."""
        every = [gate for suite in self.suites for gate in suite["gates"]]
        return sum(gate["passed"] for gate in every), len(every)


def directories(place: Path) -> Iterator[Path]:
    """The directories of runs at or below a place, in the order of their names; never inside of a run."""
    looked = 0
    waiting = [(place, 0)]
    while waiting and looked < MOST_DIRECTORIES:
        here, depth = waiting.pop()
        looked += 1
        if is_run(here):
            yield here
        elif depth < DEEPEST:
            waiting += [(below, depth + 1) for below in reversed(_below(here))]


def is_run(place: Path) -> bool:
    """Whether a directory is a run by its name and its plan, or by its plan and manifest alone."""
    if not (place / "plan.json").is_file():
        return False
    return _RUN.match(place.name) is not None or (place / MANIFEST).is_file()


def _below(directory: Path) -> list[Path]:
    try:
        with os.scandir(directory) as entries:
            names = [one.name for one in entries if one.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [directory / name for name in sorted(names) if not name.startswith(".") and name not in _SKIPPED]


def read_run(place: Path) -> Run:
    """What a run's files say; one whose files cannot be read is `damaged`."""
    match = _RUN.match(place.name)
    digest = match["digest"] if match else place.name
    try:
        plan = json.loads((place / "plan.json").read_bytes())
        return _read(place, digest, plan, _state(place, match["rest"] if match else None))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Run(place, place.parent.name, digest, "damaged")


def _state(place: Path, ending: str | None) -> State:
    if ending == PARTIAL:
        return "running" if builder(place) is not None else "unfinished"
    if ending is not None:
        return "changed"
    return "whole" if (place / MANIFEST).is_file() else "damaged"


def builder(partial: Path) -> int | None:
    """The process that builds an unfinished run now; None where none does.

    The lock itself is not tried: a build that starts at that moment would find it taken.
    """
    lock = partial.with_name(f".{partial.name.removesuffix(PARTIAL)}.lock")
    try:
        process = int(lock.read_text(encoding="utf-8", errors="replace").strip() or 0)
    except (OSError, ValueError):
        return None
    return process if is_alive(process) else None


def is_alive(process: int) -> bool:
    """Whether a process of that number is there, whosever it is."""
    try:
        if process > 0:
            os.kill(process, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return process > 0


def _read(place: Path, digest: str, plan: dict[str, Any], state: State) -> Run:
    measured = _json(place / "eval.json")
    sessions = _json(place / "timing.json").get("sessions", [])
    train, objective = plan.get("train") or {}, plan.get("objective") or {}
    return Run(
        place=place,
        name=str(plan["name"]),
        digest=digest,
        state=state,
        objective=str(objective.get("name", "")),
        method=str((plan.get("tune") or {}).get("method", "")),
        base=str((plan.get("model") or {}).get("location", "")),
        step=_step(place) if state != "whole" else _json(place / "training.json").get("last_step"),
        steps=train.get("steps"),
        bytes=_size(place),
        ended=(sessions[-1].get("ended") if sessions and state == "whole" else None) or _touched(place),
        seconds=sum(one.get("seconds", 0.0) for one in sessions) if sessions else None,
        suites=tuple(measured.get("suites", ())),
    )


def _touched(place: Path) -> str | None:
    """When the run's record was last written."""
    files = [place / name for name in ("timing.json", "metrics.jsonl", "plan.json")]
    times = [file.stat().st_mtime for file in files if file.is_file()]
    return datetime.fromtimestamp(max(times), UTC).isoformat(timespec="seconds") if times else None


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def _step(place: Path) -> int | None:
    """The last step that metrics.jsonl has; only the end of the file is read."""
    file = place / "metrics.jsonl"
    if not file.is_file():
        return 0
    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - 4096))
        lines = [line for line in opened.read().split(b"\n")[:-1] if line.startswith(b"{")]
    return int(json.loads(lines[-1])["step"]) if lines else 0


def _size(place: Path) -> int | None:
    """Bytes of a run: of a whole one by its manifest, of another by its files."""
    manifest = place / MANIFEST
    if manifest.is_file():
        with manifest.open(encoding="utf-8") as lines:
            return sum(int(number) for number in lines.readline().split()[2:])
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
