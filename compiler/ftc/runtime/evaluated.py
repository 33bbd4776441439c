"""The suites of a plan on a model that was tuned before: base and tuned, nothing is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ftc.runtime import load, machine
from ftc.runtime.events import Done, Event, Phase
from ftc.runtime.job import Job
from ftc.runtime.ready import Ready
from ftc.runtime.stop import Stop
from ftc.runtime.suites import Suites

ADAPTER = "adapter_config.json"
"""There where a run saved an adapter, and not a whole model."""


def evaluate_tuned(plan: Ready, job: Job, emit: Callable[[Event], None], stop: Stop) -> None:
    """Load, evaluate, load what was tuned, evaluate again. Raises StoppedError and BuildError."""
    from transformers import set_seed

    from ftc.runtime.main import verify

    assert job.tuned is not None  # noqa: S101 - the caller has looked
    emit(Phase("load", plan.model.location))
    machine.require(plan.environment.device)
    verify(plan, job)
    set_seed(plan.seed)
    model = load.load_base(plan, job.model)
    suites = Suites.make(plan, job, emit=emit, stop=stop)
    before = suites.before(model, job)
    emit(Phase("load", job.tuned.parent.name))
    tuned = tuned_model(plan, model, job.tuned)
    found = suites.write(before, suites(tuned, "after"), job)
    emit(Done({"before": found["before"], "after": found["after"]}))


def tuned_model(plan: Ready, model: Any, directory: Path) -> Any:
    """The base with the adapter of a run, or the whole model that the run saved."""
    if not (directory / ADAPTER).is_file():
        return load.load_base(plan, directory)
    if plan.objective.head == "embedding":
        model.load_adapter(str(directory))
        return model
    from peft import PeftModel

    return PeftModel.from_pretrained(model, str(directory), local_files_only=True)
