"""Measure this machine with a few real steps of a plan, and find what was measured before."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from ftc.estimate.calibration import Calibration, Found, Machine, find, keep
from ftc.estimate.measured import Measured, samples, subject
from ftc.estimate.step import TrainingStep
from ftc.estimate.workload import base_bytes
from ftc.facts.machine import first_cuda_device
from ftc.launch.local import Job, Outcome, launch
from ftc.plan.steps import Plan
from ftc.runtime.events import Done, Event, Failed, Phase, Stopped
from ftc.runtime.machine import cpu_model

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def directory() -> Path:
    """Where calibrations are kept: in `FTC_CACHE_DIR`, if that is stated, or the user's state directory."""
    stated = os.environ.get("FTC_CACHE_DIR")
    if stated:
        return Path(stated) / "calibration"
    from platformdirs import user_state_path

    return user_state_path("ftc") / "calibration"


def threads() -> int:
    """Threads that PyTorch will compute with: as stated, or one a core that this process may use."""
    stated = [os.environ[name] for name in THREADS if os.environ.get(name, "").isdecimal()]
    if stated:
        return max(1, int(stated[0]))
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine(device: Literal["cpu", "cuda", "mps"]) -> Machine:
    """What decides how fast this machine trains on a device; loads no torch."""
    gpu = first_cuda_device() if device == "cuda" else None
    try:
        torch = version("torch")
    except PackageNotFoundError:
        torch = ""
    return Machine(device=device, name=gpu.name if gpu else cpu_model(), threads=threads(), torch=torch)


def calibration_for(plan: Plan, step: TrainingStep) -> Found:
    """What was measured on this machine, for a plan that is to run here. Raises InexpressibleError."""
    assert plan.environment is not None  # noqa: S101 - a plan with a step has an environment
    return find(directory(), machine(plan.environment.device), subject(plan, step))


@dataclass
class _Watch:
    """When the process began to load, and when it had said its last."""

    on_event: Callable[[Event], None]
    began: float = field(default_factory=time.perf_counter)
    loading: float = 0.0
    done: float = 0.0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Phase) and event.name == "load":
            self.loading = time.perf_counter()
        if isinstance(event, (Done, Failed, Stopped)):
            self.done = time.perf_counter()
        self.on_event(event)


def calibrate(
    plan: Plan, step: TrainingStep, job: Job, on_event: Callable[[Event], None]
) -> tuple[Outcome, Calibration | None]:
    """Run a few steps of the plan in a process of their own, and keep what was measured.

    None where it was stopped or failed. Raises InexpressibleError, and OSError where nothing can be written.
    """
    from ftc.runtime.measure import MEASURED

    about = subject(plan, step)
    watch = _Watch(on_event)
    outcome = launch(job, watch, measure=True)
    ended = time.perf_counter()
    if outcome.status != "done":
        return outcome, None
    measured = Measured.model_validate_json((job.run / MEASURED).read_bytes())
    assert plan.environment is not None  # noqa: S101 - a plan that ran has an environment
    found = Calibration(
        date=datetime.now(UTC).date().isoformat(),
        machine=machine(plan.environment.device),
        subject=about,
        samples=samples(measured, step),
        start=watch.loading - watch.began,
        load=measured.happened("load", base_bytes(plan, step)),
        trainer=measured.once["trainer"],
        step=measured.once["step"],
        checkpoint=measured.happened("checkpoint"),
        save=measured.happened("save"),
        end=ended - watch.done,
    )
    keep(found, directory())
    return outcome, found
