"""Metrics of the user's own: a function in a Python file, looked at without running it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING

from ftc.diagnostics import Finding
from ftc.evaluation import METRICS
from ftc.evaluation.python_metric import problems, split
from ftc.recipe.evaluation import PythonMetric
from ftc.recipe.layers import Key, Origins

if TYPE_CHECKING:
    from ftc.plan.steps import FunctionStep


@dataclass(frozen=True)
class MetricFile:
    """A function that measures, with the bytes of its file."""

    step: FunctionStep
    content: bytes


def stored_name(content: bytes) -> str:
    """The name of the file beside the compiled rows: that of its content."""
    return f"metric-{sha256(content).hexdigest()[:16]}.py"


def metric_file(entry: PythonMetric, at: Key, origins: Origins) -> MetricFile | Finding:
    """The function that a recipe names, or why it cannot be used."""
    span, directory = origins.value(*at), origins.directory(*at)
    wrong = problems(entry.python, directory)
    if wrong:
        return replace(wrong[0], span=span)
    file, function = split(entry.python)
    if function in METRICS:
        message = f"`{function}` is the name of a metric that ftc has"
        return Finding("FTC562", message, span, help=("give the function another name",))
    content = (directory / file).read_bytes()
    from ftc.plan.steps import FileDigest, FunctionStep

    digest = FileDigest(name=stored_name(content), bytes=len(content), sha256=sha256(content).hexdigest())
    return MetricFile(
        FunctionStep(name=function, named=entry.python, file=digest, better=entry.better), content
    )
