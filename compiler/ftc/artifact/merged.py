"""The model of a run as a directory that another run can begin with: its weights, or its adapter merged."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ftc.artifact.chain import MODEL, changed_model, model_files
from ftc.diagnostics import Finding, Severity, Span
from ftc.facts.cache import Cache, cache_key, code_digest
from ftc.facts.machine import package_versions
from ftc.launch.local import environment
from ftc.plan.steps import Plan

REPORT = "merge.json"
CODE = ("runtime/merge.py",)


@dataclass(frozen=True)
class BaseRun:
    """A whole run that another one begins with; `span` is where its recipe is named."""

    run: Path
    plan: Plan
    span: Span | None


def run_model(base: BaseRun, root: Callable[[], Path | Finding], cache: Cache) -> Path | Finding:
    """The directory with the run's whole weights; `root` gives that of the model which it began with.

    An adapter is merged in float32, once, in a process of its own. Raises CacheProblem.
    """
    listed, changed = model_files(base.run), changed_model(base.run)
    if changed or not listed:
        return _changed(base, changed)
    if base.plan.tune is None or base.plan.tune.peft is None:
        return base.run / MODEL
    return _merged(base, _merge_key(listed), root, cache)


def _changed(base: BaseRun, names: list[str]) -> Finding:
    which = ", ".join(names[:3]) or "it lists no model"
    return Finding(
        "FTC584",
        f"the model of the base's run is not what was built: {which}",
        base.span,
        place=str(base.run),
        help=("delete that run, and run the same command again: it is built anew",),
    )


def _merge_key(listed: dict[str, str]) -> str:
    inputs = {"model": listed, "packages": package_versions()}
    return cache_key("merged", inputs, {}, code=code_digest(*CODE))


def _merged(base: BaseRun, key: str, root: Callable[[], Path | Finding], cache: Cache) -> Path | Finding:
    with cache.alone("merged", key):
        found = cache.entry("merged", key, deep=True)
        if found is not None:
            return found
        place = root()
        if isinstance(place, Finding):
            return place
        try:
            with cache.store("merged", key) as directory:
                _merge(base.run, place, directory)
        except subprocess.CalledProcessError as error:
            return _failed(base, str(error.stderr))
        return cache.place("merged", key)


def _merge(run: Path, root: Path, directory: Path) -> None:
    places = [str(path.absolute()) for path in (run, root, directory)]
    command = [sys.executable, "-m", "ftc.runtime.merge", *places]
    subprocess.run(command, capture_output=True, text=True, check=True, env=environment())


def _failed(base: BaseRun, output: str) -> Finding:
    lines = [line for line in output.splitlines() if line.strip()]
    return Finding(
        "FTC585",
        "the adapter of the base's run cannot be merged into its model",
        base.span,
        place=str(base.run),
        help=("merging holds the model in float32: see that there is memory for it",),
        notes=tuple(lines[-1:]),
    )


def quantised(base: BaseRun) -> Finding | None:
    """What is to be said of an adapter that was trained on a model in few bits; None of any other."""
    if base.plan.tune is None or base.plan.tune.quantise is None:
        return None
    return Finding(
        "FTC587",
        f"the adapter of `{base.plan.name}` was trained on its model in few bits, "
        "and is merged into the model as it was before that",
        base.span,
        help=("compare the metrics before training with those that the base's run had after its own",),
        severity=Severity.NOTE,
    )


def rounding(base: BaseRun, directory: Path, dtype: str) -> Finding | None:
    """What is lost where a merged model is used in lower precision; None where nothing is."""
    file = directory / REPORT
    if dtype == "float32" or not file.is_file():
        return None
    lost = json.loads(file.read_bytes())["lost"][dtype]
    return Finding(
        "FTC586",
        f"in {dtype} the merged base differs from what was trained by {100 * lost:.2g} % "
        "of what its adapter learned",
        base.span,
        help=('to begin with the exact sum, write dtype = "float32" in [model]',),
        severity=Severity.WARNING if lost > MUCH else Severity.NOTE,
    )


MUCH = 0.1
"""From which part of an adapter's work its rounding is a warning."""
