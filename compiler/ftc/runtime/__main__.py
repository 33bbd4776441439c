"""`python -m ftc.runtime --plan plan.json --data DIR --model DIR --run DIR`: events on standard output."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ftc.runtime.job import Job
from ftc.runtime.main import run, write_events
from ftc.runtime.stop import Stop


def parse(arguments: list[str]) -> tuple[Job, bool]:
    """The job that the command line names, and whether to stop when standard input closes."""
    parser = argparse.ArgumentParser(prog="python -m ftc.runtime", description=__doc__)
    for name in ("plan", "data", "model", "run"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--stop-on-eof", action="store_true", help="stop when standard input ends")
    found = parser.parse_args(arguments)
    return Job(found.plan, found.data, found.model, found.run), found.stop_on_eof


def main() -> int:
    """Run one job; libraries that print to standard output are sent to standard error."""
    job, stop_on_eof = parse(sys.argv[1:])
    events = os.dup(1)
    os.dup2(2, 1)
    stop = Stop()
    stop.on_signals()
    if stop_on_eof:
        stop.on_closed(0)
    return run(job, write_events(events), stop)


if __name__ == "__main__":
    sys.exit(main())
