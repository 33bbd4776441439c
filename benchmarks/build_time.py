"""Predicted and actual time of a build, part by part; with --published, of published fine-tuning on GPUs.

    python benchmarks/build_time.py examples/question-routing/recipe.toml
    python benchmarks/build_time.py --published

The first measures this machine with the recipe (`ftc calibrate`), predicts the build, builds into a directory
of its own, and prints both. Compiling the data is not part of either. Other work on the machine falsifies it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ftc.runtime.events import Checkpoint, Done, Evaluation, Event, Phase, Saved, Step


class Stopwatch:
    """When each part of a build ended, told by the runtime's events."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self.last = 0.0

    def start(self) -> None:
        self.last = time.perf_counter()

    def lap(self, part: str) -> None:
        now = time.perf_counter()
        self.parts[part] = self.parts.get(part, 0.0) + now - self.last
        self.last = now

    def __call__(self, event: Event) -> None:
        match event:
            case Phase(name="load"):
                self.lap("start")
            case Phase(name="evaluate" | "train") if "load" not in self.parts:
                self.lap("load")
            case Evaluation():
                self.lap(f"evaluation {event.when}")
            case Step():
                self.lap("training")
            case Checkpoint():
                self.lap("checkpoints")
            case Phase(name="evaluate", detail="after") | Phase(name="save"):
                self.lap("training")
            case Saved():
                self.lap("save")
            case Done():
                self.lap("save")


def timed(launch: Callable[..., Any], watch: Stopwatch) -> Callable[..., Any]:
    """The launcher of the runtime, with its process's start and end on the watch."""

    def launched(*arguments: Any, **options: Any) -> Any:
        watch.start()
        outcome = launch(*arguments, **options)
        watch.lap("start")
        return outcome

    return launched


def build(recipe: Path, overrides: list[str]) -> dict[str, float]:
    """Seconds of each part of a real build."""
    from ftc import api
    from ftc.artifact import build as artifact

    watch = Stopwatch()
    artifact.launch = timed(artifact.launch, watch)
    with tempfile.TemporaryDirectory(dir=recipe.parent, prefix=".time-") as runs:
        result = api.build(recipe, set=overrides, runs=Path(runs), on_event=watch)
    if not result.ok:
        sys.exit("\n".join(finding.message for finding in result.findings))
    return watch.parts


def compare(recipe: Path, overrides: list[str]) -> None:
    from ftc.jobs.calibrating import calibrate

    began = time.perf_counter()
    measured = calibrate(recipe, set=overrides)
    if not measured.ok or measured.duration is None:
        sys.exit("\n".join(finding.message for finding in measured.findings))
    took, load = time.perf_counter() - began, os.getloadavg()[0]
    actual = build(recipe, overrides)
    busy = os.getloadavg()[0]
    print(f"calibrated in {took:.0f} s; load of the machine {load:.1f} after it, {busy:.1f} after the build")
    print(f"{'':20}{'low':>9}{'likely':>9}{'high':>9}{'actual':>9}{'error':>8}")
    rows = {name: (part, actual.get(name, 0.0)) for name, part in measured.duration.parts.items()}
    for name, (part, real) in {**rows, "all": (measured.duration.total, sum(actual.values()))}.items():
        error = f"{100 * (part.likely / real - 1):+.1f} %" if real else ""
        print(f"{name:20}{part.low:9.1f}{part.likely:9.1f}{part.high:9.1f}{real:9.1f}{error:>9}")


def published() -> None:
    from ftc.estimate.duration import predicted
    from ftc.estimate.speeds import speeds

    errors = []
    print(
        f"{'model':12}{'method':8}{'rows':>5}{'tokens':>8}{'low':>8}{'likely':>8}{'high':>8}{'actual':>8}{'error':>9}"
    )
    for record in speeds().records:
        found = predicted(record)
        errors.append(100 * (found.likely / record.seconds - 1))
        print(
            f"{record.model:12}{record.method:8}{record.rows:5}{record.length:8}{found.low:8.3f}"
            f"{found.likely:8.3f}{found.high:8.3f}{record.seconds:8.3f}{errors[-1]:+8.1f} %"
        )
    absolute = sorted(map(abs, errors))
    print(
        f"{len(errors)} records: median error {absolute[len(errors) // 2]:.1f} %, worst {absolute[-1]:.1f} %"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", nargs="?", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--published", action="store_true")
    found = parser.parse_args()
    if found.published:
        published()
    elif found.recipe:
        compare(found.recipe, found.set)
    else:
        parser.error("name a recipe, or --published")


if __name__ == "__main__":
    main()
