"""Where one execution of a plan reads and writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Job:
    """The plan's JSON, the compiled data, the base model, and the run directory that is filled.

    `trackers` are told of each step too; they decide nothing, and so are no part of the plan.
    A `teacher` is the model that the trained one follows, and `scorers` are those that score its answers, in
    the order of the plan's rewards.
    Where a model is `tuned` already, its suites are measured and nothing is trained.
    """

    plan: Path
    data: Path
    model: Path
    run: Path
    trackers: tuple[str, ...] = ()
    tuned: Path | None = None
    teacher: Path | None = None
    scorers: tuple[Path, ...] = ()

    @property
    def tracked(self) -> Path:
        """Where trackers that write files write them: beside the runs, as their bytes differ each time."""
        return self.run.parent / "trackers"

    @property
    def verdicts(self) -> Path:
        """Replies of judges, by their questions: beside the runs, so that another one asks nothing again."""
        return self.run.parent / "verdicts"

    @property
    def checkpoints(self) -> Path:
        """Whole checkpoints, named by their step; gone once the run is complete."""
        return self.run / "checkpoints"

    @property
    def work(self) -> Path:
        """Files that only an unfinished run needs."""
        return self.run / "work"

    @property
    def log(self) -> Path:
        """Everything that libraries print, and tracebacks."""
        return self.run / "build.log"
