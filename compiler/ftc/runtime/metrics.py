"""The record of training: metrics.jsonl, which a resumed run repeats to the byte, and timing.json."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ftc.artifact.files import write_json, write_text

METRICS = "metrics.jsonl"
TIMING = "timing.json"
TRAINING = "training.json"


@dataclass(frozen=True)
class StepMetrics:
    """One line of metrics.jsonl; it holds no time, so that it is the same on every run.

    `more` are figures that some objectives have beside the loss; in the line they stand beside it.
    `grad_norm` is None where the scaled gradient overflowed float16, and the weights stayed as they were.
    """

    step: int
    loss: float
    learning_rate: float
    grad_norm: float | None
    tokens: int
    more: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class HeldOutMetrics:
    """The line behind a step after which the held-out loss was evaluated, in nats per trained token."""

    step: int
    eval_loss: float
    eval_tokens: int


def encode(metrics: StepMetrics | HeldOutMetrics) -> str:
    """One line of JSON with its line end."""
    line = dict(vars(metrics))
    return json.dumps(line | line.pop("more", {})) + "\n"


def append(path: Path, metrics: StepMetrics | HeldOutMetrics) -> None:
    """Add a line to the record."""
    with path.open("a", encoding="utf-8") as file:
        file.write(encode(metrics))


def rewind(path: Path, checkpoint: Path | None) -> None:
    """Set the record back to what it was at a checkpoint, or to nothing."""
    kept = (checkpoint / METRICS).read_text(encoding="utf-8") if checkpoint else ""
    write_text(path, kept)


def add_timing(path: Path, session: dict[str, Any]) -> None:
    """Add one start of the runtime to timing.json, with the time at which it ended."""
    sessions = json.loads(path.read_text(encoding="utf-8"))["sessions"] if path.is_file() else []
    ended = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(path, {"sessions": [*sessions, {**session, "ended": ended}]})
