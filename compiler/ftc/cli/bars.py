"""Progress bars on a terminal; the only module that loads rich."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID
from rich.text import Text

from ftc.cli.layout import duration, number
from ftc.cli.progress import phase_detail, phase_title, step_text
from ftc.cli.terminal import Terminal, escape
from ftc.runtime import events

TITLE_WIDTH = 17
REST = 72
"""Columns that title, counts and detail need beside the bar."""


class _Mark(SpinnerColumn):
    """A spinner while a phase is under way, then how it ended."""

    def render(self, task: Task) -> RenderableType:
        return Text("✗", style="red") if task.fields["broken"] else super().render(task)


class _Counts(ProgressColumn):
    """`done/total`, or what is done where the end is not known."""

    def render(self, task: Task) -> Text:
        if not task.fields["counted"]:
            return Text("")
        done = number(int(task.completed))
        return Text(done if task.total is None else f"{done}/{number(int(task.total))}")


class _Detail(ProgressColumn):
    """What is said beside the bar: of a training step, or the time a finished phase took."""

    def render(self, task: Task) -> Text:
        said = task.fields["detail"]
        if task.finished and not said:
            said = duration(task.finished_time or 0)
        return Text(said, style="dim", no_wrap=True, overflow="ellipsis")


class _Title(ProgressColumn):
    """The phase, in a fixed width."""

    def render(self, task: Task) -> Text:
        title = Text(task.description, no_wrap=True, overflow="ellipsis")
        title.truncate(TITLE_WIDTH, overflow="ellipsis", pad=True)
        return title


def _console(terminal: Terminal) -> Console:
    return Console(
        stderr=True,
        force_terminal=True,
        no_color=not terminal.color_err,
        width=terminal.width,
        highlight=False,
        markup=False,
        emoji=False,
    )


@dataclass(frozen=True)
class _Current:
    """The phase under way and its bar."""

    name: str
    task: TaskID


class Bars:
    """One bar a phase, kept on the screen when it is done."""

    def __init__(self, terminal: Terminal, *, building: bool) -> None:
        self._building = building
        self._progress = Progress(
            _Mark(finished_text="✓"),
            _Title(),
            BarColumn(
                max(6, min(30, terminal.width - REST)),
                complete_style="cyan",
                finished_style="green",
                pulse_style="cyan",
            ),
            _Counts(),
            _Detail(),
            console=_console(terminal),
            refresh_per_second=8,
        )
        self._begun: set[str] = set()
        self._held_out = ""
        self._current: _Current | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        if self._building:
            self._begin("plan", "planning", None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close(ok=False)
        finally:
            self._progress.stop()
        if self._begun:
            self._progress.console.print()

    def _begin(self, name: str, title: str, total: int | None) -> None:
        """Make the bar of a phase, if it is new; an earlier phase is then complete."""
        if self._current is None or self._current.name != name:
            self._finish()
            self._begun.add(name)
            add = self._progress.add_task
            task = add(escape(title), total=total, detail="", counted=False, broken=False)
            self._current = _Current(name, task)

    def _update(self, **fields: Any) -> None:
        """Change the current bar, if there is one."""
        if self._current is not None:
            self._progress.update(self._current.task, **fields)

    def _finish(self) -> None:
        """Fill the current bar: the work has gone on to something else."""
        if self._current is None:
            return
        now = next(task for task in self._progress.tasks if task.id == self._current.task)
        whole = now.total if now.total is not None else max(now.completed, 1.0)
        self._update(total=whole, completed=whole, detail="")
        self._current = None

    def close(self, *, ok: bool) -> None:
        """End the current bar: it is full, or marked as broken off where it stands."""
        if ok:
            self._finish()
        elif self._current is not None:
            self._update(broken=True, detail="")
            self._progress.stop_task(self._current.task)
            self._current = None

    def data(self, phase: str, done: int, total: int | None) -> None:
        """Move the bar of a data phase; a build whose rows are complete starts the trainer."""
        if phase in self._begun and (self._current is None or self._current.name != phase):
            return
        self._begin(phase, phase, total)
        self._update(completed=done, total=total, counted=done > 0)
        counts_rows = not phase.endswith(")")
        if self._building and counts_rows and total is not None and done >= total:
            self._begin("start", "starting up", None)

    def event(self, event: events.Event) -> None:
        """Move the bar of a runtime phase, or write a line above the bars."""
        match event:
            case events.Phase():
                self._begin(f"{event.name} {event.detail}", phase_title(event), None)
                self._update(detail=escape(phase_detail(event)))
            case events.Progress():
                self._update(completed=event.done, total=event.total, counted=True)
            case events.Step():
                detail = step_text(event) + self._held_out
                self._update(completed=event.step, total=event.steps, counted=True, detail=detail)
            case events.HeldOut():
                self._held_out = f", held out {event.loss:.3f}"
            case events.Warned():
                self._progress.console.print(f"warning: {escape(event.message)}", style="yellow")
