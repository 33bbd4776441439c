"""Trackers: where they write, and under which name, unless the environment says otherwise."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ftc.runtime.job import Job


def arguments(job: Job) -> dict[str, Any]:
    """The config's fields that turn a job's trackers on; none where it has none.

    What a tracker reads from the environment is set there, where it is not set yet.
    """
    if not job.trackers:
        return {}
    for name in job.trackers:
        for variable, value in SETTINGS[name](job).items():
            os.environ.setdefault(variable, value)
    return {"report_to": list(job.trackers), "run_name": _run(job), "project": job.run.parent.name}


def _run(job: Job) -> str:
    """The run's name: the first digits of the plan's digest."""
    return job.run.name.removesuffix(".partial")


def _mlflow(job: Job) -> dict[str, str]:
    place = job.tracked / "mlflow"
    place.mkdir(parents=True, exist_ok=True)
    return {
        "MLFLOW_TRACKING_URI": f"sqlite:///{(place / 'mlflow.db').absolute()}",
        "MLFLOW_EXPERIMENT_NAME": job.run.parent.name,
    }


def _tensorboard(job: Job) -> dict[str, str]:
    return {"TENSORBOARD_LOGGING_DIR": str((job.tracked / "tensorboard" / _run(job)).absolute())}


def _trackio(_: Job) -> dict[str, str]:
    """It keeps all projects in one place of the user's, which its dashboard reads."""
    return {}


def _wandb(job: Job) -> dict[str, str]:
    """A build that goes on goes on with its run there."""
    place = job.tracked / "wandb"
    place.mkdir(parents=True, exist_ok=True)
    return {
        "WANDB_DIR": str(place.absolute()),
        "WANDB_PROJECT": job.run.parent.name,
        "WANDB_RUN_ID": _run(job),
        "WANDB_RESUME": "allow",
    }


SETTINGS: dict[str, Callable[[Job], dict[str, str]]] = {
    "mlflow": _mlflow,
    "tensorboard": _tensorboard,
    "trackio": _trackio,
    "wandb": _wandb,
}
