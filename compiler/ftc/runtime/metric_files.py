"""Metrics of the user's own: functions of files that lie beside the compiled rows."""

from __future__ import annotations

from pathlib import Path

from ftc.artifact.files import sha256
from ftc.evaluation import Metric, ScoreError
from ftc.evaluation.python_metric import load
from ftc.plan.steps import FunctionStep
from ftc.runtime.failure import BuildError


def functions_of(steps: tuple[FunctionStep, ...], data: Path) -> dict[str, Metric]:
    """The metrics by name; raises BuildError where a file is not the plan's or cannot be run."""
    return {step.name: _metric(step, data / step.file.name) for step in steps}


def _metric(step: FunctionStep, path: Path) -> Metric:
    if not path.is_file() or sha256(path) != step.file.sha256:
        raise BuildError("FTC706", f"the file of the metric `{step.name}` is not what the plan says")
    try:
        return load(step.named, path.read_text("utf-8"), name=step.name, better=step.better)
    except ScoreError as error:
        raise BuildError("FTC575", str(error), "mend the file, and run the same command again") from error
