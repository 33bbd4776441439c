"""Progress of data and training: bars on a terminal, a line now and then elsewhere, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from ftc.cli.layout import duration, number, plural
from ftc.cli.options import Request
from ftc.cli.terminal import Terminal
from ftc.runtime.events import Checkpoint, Event, HeldOut, Phase, Progress, Step, Warned

DataProgress = Callable[[str, int, int | None], None]
PHASES = {
    "recipe": "building",
    "wait": "waiting",
    "variant": "variant",
    "load": "loading the model",
    "evaluate": "evaluating",
    "train": "training",
    "save": "saving",
}
"""Titles of the runtime's phases; one that is not here is shown by its own name."""
LINES_A_RUN = 20
"""Lines of training progress where nothing can be redrawn."""


class Reporter(Protocol):
    """Something that shows how the work goes on."""

    def data(self, phase: str, done: int, total: int | None) -> None:
        """So many rows of a phase are done, or of what stands in brackets at the end of its name."""

    def event(self, event: Event) -> None:
        """The runtime says something."""

    def close(self, *, ok: bool) -> None:
        """The work has ended, well or not."""


class Silent:
    """Shows nothing."""

    def data(self, phase: str, done: int, total: int | None) -> None:
        """Nothing."""

    def event(self, event: Event) -> None:
        """Nothing."""

    def close(self, *, ok: bool) -> None:
        """Nothing."""


class Lines:
    """Plain lines for logs: one for the end of a data phase, about twenty for a training run.

    They go to standard error, or where `write` puts them.
    """

    def __init__(self, terminal: Terminal, write: Callable[[str], None] | None = None) -> None:
        self._write = write or terminal.err
        self._data: tuple[str, int] | None = None

    def data(self, phase: str, done: int, total: int | None) -> None:
        """One line when the phase is complete, or when the next one begins."""
        if self._data is not None and self._data[0] != phase:
            self._write_data()
        self._data = (phase, done)
        if total is not None and done >= total:
            self._write_data()

    def _write_data(self) -> None:
        """Write down the data phase that is under way."""
        if self._data is not None and self._data[1]:
            phase, done = self._data
            self._write(f"{phase}: {number(done) if phase.endswith(')') else plural(done, 'row')}")
        self._data = None

    def event(self, event: Event) -> None:
        """A line for a phase, for every few steps and for a warning."""
        self._write_data()
        line = event_line(event)
        if line:
            self._write(line)

    def close(self, *, ok: bool) -> None:  # noqa: ARG002 - the result itself says it
        """Write down what is left."""
        self._write_data()


def phase_title(event: Phase) -> str:
    """A phase in two or three words."""
    title = PHASES.get(event.name, event.name)
    return f"{title} {event.detail}" if event.name == "evaluate" else title


def phase_detail(event: Phase) -> str:
    """What more there is to say of a phase."""
    return "" if event.name == "evaluate" else event.detail


def step_text(event: Step) -> str:
    """Loss, speed and time left of a step."""
    speed = f"{number(round(event.tokens_per_second))} tok/s"
    reward = f"reward {event.more['reward']:.3f}, " if "reward" in event.more else ""
    return f"{reward}loss {event.loss:.3f}, {speed}, {duration(event.seconds_left)} left"


def held_out_text(event: HeldOut) -> str:
    """The held-out loss beside the best so far."""
    now = f"held-out loss {event.loss:.3f} at step {event.step}"
    best = f"best {event.best:.3f} at step {event.best_step}"
    return f"{now}, the best so far" if event.best_step == event.step else f"{now}, {best}"


def _due(event: Step) -> bool:
    every = max(1, event.steps // LINES_A_RUN)
    return event.step % every == 0 or event.step in (1, event.steps)


def event_line(event: Event) -> str | None:
    """The line of a log for an event; None where it is not worth one."""
    match event:
        case Phase():
            detail = phase_detail(event)
            return phase_title(event) + (f" ({detail})" if detail else "")
        case Step() if _due(event):
            return f"  step {event.step:>{len(str(event.steps))}}/{event.steps}  {step_text(event)}"
        case HeldOut():
            return f"  {held_out_text(event)}"
        case Warned():
            return f"warning: {event.message}"
        case Checkpoint():
            return f"  checkpoint at step {event.step}"
        case Progress() if event.done == event.total:
            return f"  {event.what}: {number(event.done)} of {number(event.total)}"
    return None


@contextmanager
def open_reporter(request: Request, *, building: bool = False) -> Iterator[Reporter]:
    """The reporter that suits the terminal, for the length of one piece of work."""
    terminal = request.terminal
    if terminal.quiet or (request.json and not terminal.interactive):
        yield Silent()
    elif terminal.interactive:
        from ftc.cli.bars import Bars

        with Bars(terminal, building=building) as bars:
            yield bars
    else:
        yield Lines(terminal)


@contextmanager
def data_progress(request: Request) -> Iterator[DataProgress | None]:
    """The progress callback of commands that read data; None where nothing is to be shown."""
    if not request.terminal.interactive or request.terminal.quiet:
        yield None
        return
    with open_reporter(request) as reporter:
        yield reporter.data
        reporter.close(ok=True)
