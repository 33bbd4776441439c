"""`python -m ftc.runtime --plan plan.json --data DIR --model DIR --run DIR`: events on standard output."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from ftc.runtime.events import Event
from ftc.runtime.job import Job
from ftc.runtime.main import execute, run, write_events
from ftc.runtime.ready import Ready
from ftc.runtime.stop import Stop


def parse(arguments: list[str]) -> tuple[Job, argparse.Namespace]:
    """The job that the command line names, and its options."""
    parser = argparse.ArgumentParser(prog="python -m ftc.runtime", description=__doc__)
    for name in ("plan", "data", "model", "run"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--stop-on-eof", action="store_true", help="stop when standard input ends")
    parser.add_argument("--measure", action="store_true", help="time a few steps instead of all")
    parser.add_argument("--tuned", type=Path, help="measure the suites on this model instead of training")
    parser.add_argument("--teacher", type=Path, help="the model that is followed")
    parser.add_argument(
        "--scorer", type=Path, action="append", default=[], help="a model that scores answers"
    )
    parser.add_argument("--tracker", action="append", default=[], help="report each step there too")
    found = parser.parse_args(arguments)
    places = (found.plan, found.data, found.model, found.run)
    beside = {"teacher": found.teacher, "scorers": tuple(found.scorer)}
    return Job(*places, trackers=tuple(found.tracker), tuned=found.tuned, **beside), found


def measured(plan: Ready, job: Job, emit: Callable[[Event], None], stop: Stop) -> None:
    """Time a few steps of the plan."""
    from ftc.runtime.measure import measure

    measure(plan, job, emit, stop)


def evaluated(plan: Ready, job: Job, emit: Callable[[Event], None], stop: Stop) -> None:
    """Measure the suites of the plan on a model that is tuned already."""
    from ftc.runtime.evaluated import evaluate_tuned

    evaluate_tuned(plan, job, emit, stop)


def main() -> int:
    """Run one job; libraries that print to standard output are sent to standard error."""
    job, options = parse(sys.argv[1:])
    events = os.dup(1)
    os.dup2(2, 1)
    stop = Stop()
    stop.on_signals()
    if options.stop_on_eof:
        stop.on_closed(0)
    work = measured if options.measure else evaluated if job.tuned else execute
    return run(job, write_events(events), stop, work=work)


if __name__ == "__main__":
    sys.exit(main())
