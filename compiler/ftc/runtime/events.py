"""What the runtime says while it works: frozen events, one JSON line each."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, get_args


@dataclass(frozen=True)
class Phase:
    """A part of the work begins: `load`, `evaluate`, `train`, `save`; `detail` is for people."""

    kind: ClassVar[str] = "phase"
    name: str
    detail: str = ""


@dataclass(frozen=True)
class Progress:
    """`done` of `total` units of `what`."""

    kind: ClassVar[str] = "progress"
    what: str
    done: int
    total: int


@dataclass(frozen=True)
class Step:
    """An optimizer step is done; `tokens` are those of its rows, padding left out.

    `grad_norm` is None where the gradient overflowed float16, and the weights stayed as they were.
    `more` are figures that the objective has beside the loss, such as the reward.
    """

    kind: ClassVar[str] = "step"
    step: int
    steps: int
    loss: float
    learning_rate: float
    grad_norm: float | None
    tokens: int
    tokens_per_second: float
    seconds_left: float
    more: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """The held-out rows as the model answers them before or after training."""

    kind: ClassVar[str] = "evaluation"
    when: Literal["before", "after"]
    metrics: dict[str, float | int] = field(default_factory=dict)


@dataclass(frozen=True)
class HeldOut:
    """The held-out loss after a step, while training goes on; `best` is the lowest so far, at `best_step`."""

    kind: ClassVar[str] = "held_out"
    step: int
    loss: float
    best: float
    best_step: int


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint is whole and on the disk."""

    kind: ClassVar[str] = "checkpoint"
    step: int


@dataclass(frozen=True)
class Warned:
    """Something the person should know, though the work goes on."""

    kind: ClassVar[str] = "warned"
    message: str


@dataclass(frozen=True)
class Saved:
    """The model is in the run directory; `files` are its names."""

    kind: ClassVar[str] = "saved"
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stopped:
    """Stopped on request after `step` steps, which a later start need not repeat."""

    kind: ClassVar[str] = "stopped"
    step: int


@dataclass(frozen=True)
class Failed:
    """The work cannot be finished: a code of the catalogue, what is wrong, what to do, the log's end."""

    kind: ClassVar[str] = "failed"
    code: str
    message: str
    help: tuple[str, ...] = ()
    log: tuple[str, ...] = ()


@dataclass(frozen=True)
class Done:
    """Everything is on the disk; `metrics` are those of eval.json, before and after."""

    kind: ClassVar[str] = "done"
    metrics: dict[str, Any] = field(default_factory=dict)


Event = Phase | Progress | Step | Evaluation | HeldOut | Checkpoint | Warned | Saved | Stopped | Failed | Done

TYPES: dict[str, type[Event]] = {event.kind: event for event in get_args(Event)}


def encode(event: Event) -> str:
    """The event as one line of JSON, without the line end."""
    return json.dumps({"event": event.kind, **asdict(event)}, ensure_ascii=False, separators=(",", ":"))


def decode(line: str) -> Event:
    """The event of a line that `encode` made. Raises ValueError for any other line."""
    try:
        fields = json.loads(line)
        made = TYPES[fields.pop("event")]
        lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
        return made(**{**fields, **lists})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an event: {line[:200]}") from error
