"""Progress bars on a terminal; the only module that loads rich."""

from __future__ import annotations

from types import TracebackType
from typing import Self

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
        self._tasks: dict[str, TaskID] = {}
        self._phase = ""

    def __enter__(self) -> Self:
        self._progress.start()
        if self._building:
            self._begin("plan", "planning", None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(ok=False)
        self._progress.stop()
        if self._tasks:
            self._progress.console.print()

    def _begin(self, name: str, title: str, total: int | None) -> TaskID:
        """The bar of a phase, made if it is new; an earlier phase is then complete."""
        if name != self._phase:
            self._finish()
            self._phase = name
            self._tasks[name] = self._progress.add_task(
                escape(title), total=total, detail="", counted=False, broken=False
            )
        return self._tasks[name]

    def _finish(self) -> None:
        """Fill the current bar: the work has gone on to something else."""
        if not self._phase:
            return
        task = self._tasks[self._phase]
        now = next(one for one in self._progress.tasks if one.id == task)
        whole = now.total if now.total is not None else max(now.completed, 1.0)
        self._progress.update(task, total=whole, completed=whole, detail="")
        self._phase = ""

    def close(self, *, ok: bool) -> None:
        """End the current bar: it is full, or marked as broken off where it stands."""
        if ok or not self._phase:
            self._finish()
            return
        self._progress.update(self._tasks[self._phase], broken=True, detail="")
        self._progress.stop_task(self._tasks[self._phase])
        self._phase = ""

    def data(self, phase: str, done: int, total: int | None) -> None:
        """Move the bar of a data phase; a build whose rows are complete starts the trainer."""
        if phase in self._tasks and phase != self._phase:
            return
        self._progress.update(self._begin(phase, phase, total), completed=done, total=total, counted=done > 0)
        if self._building and total is not None and done >= total:
            self._begin("start", "starting up", None)

    def event(self, event: events.Event) -> None:
        """Move the bar of a runtime phase, or write a line above the bars."""
        match event:
            case events.Phase():
                task = self._begin(f"{event.name} {event.detail}", phase_title(event), None)
                self._progress.update(task, detail=escape(phase_detail(event)))
            case events.Progress() if self._phase:
                task = self._tasks[self._phase]
                self._progress.update(task, completed=event.done, total=event.total, counted=True)
            case events.Step() if self._phase:
                self._step(event)
            case events.Warned():
                self._progress.console.print(f"warning: {escape(event.message)}", style="yellow")

    def _step(self, event: events.Step) -> None:
        task = self._tasks[self._phase]
        detail = step_text(event)
        self._progress.update(task, completed=event.step, total=event.steps, counted=True, detail=detail)
