"""Executions of tiny plans in this process."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftc.launch.local import Outcome
from ftc.plan.steps import Plan
from ftc.runtime.evaluated import evaluate_tuned
from ftc.runtime.events import Event
from ftc.runtime.job import Job
from ftc.runtime.main import execute as all_of_it
from ftc.runtime.main import run
from ftc.runtime.stop import Stop
from tiny_plan import Tiny


@dataclass
class Ran:
    """One execution in this process: where, how it ended, what it said and logged."""

    directory: Path
    status: int
    events: list[Event] = field(default_factory=list)
    log: str = ""

    def of(self, kind: type) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


def run_job(job: Job, stop_when: Callable[[Event], bool] | None = None) -> Ran:
    """Run a job; `stop_when` asks for a stop at the event it is true of."""
    events: list[Event] = []
    stop, log = Stop(), io.StringIO()

    def emit(event: Event) -> None:
        events.append(event)
        if stop_when and stop_when(event):
            stop.ask()

    work = evaluate_tuned if job.tuned else all_of_it
    return Ran(job.run, run(job, emit, stop, log, work), events, log.getvalue())


def launched(job: Job, on_event: Callable[[Event], None], **_: Any) -> Outcome:
    """What `ftc.launch.local.launch` does, in this process and for a job that ends well."""
    ran = run_job(job)
    assert ran.status == 0, ran.log
    for event in ran.events:
        on_event(event)
    job.log.write_text(ran.log, encoding="utf-8")
    return Outcome("done", 0, None, 0, job.log)


def execute(tiny: Tiny, plan: Plan, directory: Path, stop_when: Callable[[Event], bool] | None = None) -> Ran:
    """Run a plan in a directory."""
    return run_job(tiny.job(plan, directory), stop_when)
