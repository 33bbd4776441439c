"""The optimizers that run on this machine take steps that lower the loss."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftc.facts.machine import package_versions
from ftc.tuning.optimizers import OPTIMIZERS
from runtime.in_process import execute
from tiny_plan import write_tiny
from tuning.test_training import losses

pytestmark = pytest.mark.filterwarnings("ignore")
RATES = {"sgd": 0.5, "adagrad": 0.05, "adafactor": 0.05}
INSTALLED = package_versions()
HERE = [
    name
    for name, how in OPTIMIZERS.items()
    if "cpu" in how.devices and not how.projected and (how.package is None or how.package in INSTALLED)
]


def test_most_optimizers_run_on_the_cpu() -> None:
    assert {"adamw", "adafactor", "sgd"} <= set(HERE)


@pytest.mark.parametrize("name", HERE)
def test_an_optimizer_lowers_the_loss(name: str, tiny_model: Path, tmp_path: Path) -> None:
    tiny = write_tiny(tmp_path, tiny_model, train_rows=8, eval_rows=0)
    rate = RATES.get(name, 1e-2)
    plan = tiny.plan(method="full", steps=6, save_every=6, learning_rate=rate, optim=OPTIMIZERS[name].optim)
    run = execute(tiny, plan.model_copy(update={"eval": None}), tmp_path / "run")
    assert run.status == 0, run.log[-2000:]
    told = losses(run.directory)
    assert told[-1] < told[0]
