"""The optimizers that run on this machine lower the loss, and go on after a stop to the byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftc.facts.machine import package_versions
from ftc.plan.steps import Plan
from ftc.runtime.events import Checkpoint
from ftc.tuning.optimizers import OPTIMIZERS
from runtime.in_process import Ran, execute
from tiny_plan import Tiny, write_tiny
from tuning.test_training import losses

pytestmark = pytest.mark.filterwarnings("ignore")
RATES = {"sgd": 0.5, "adagrad": 0.05, "adafactor": 0.05}
INSTALLED = package_versions()
HERE = [
    name
    for name, how in OPTIMIZERS.items()
    if "cpu" in how.devices and (how.package is None or how.package in INSTALLED)
]
WITH_OBJECTS = ("galore_adamw", "apollo_adamw", "schedule_free_adamw", "stable_adamw", "adamw_8bit")
"""Those whose checkpoints hold more than PyTorch's own do."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Tiny:
    return write_tiny(tmp_path_factory.mktemp("optimizers"), tiny_model, train_rows=8, eval_rows=0)


def plan_of(tiny: Tiny, name: str) -> Plan:
    how, rate = OPTIMIZERS[name], RATES.get(name, 1e-2)
    more = {"optim_target_modules": "all-linear"} if how.projected else {}
    plan = tiny.plan(method="full", steps=4, save_every=2, learning_rate=rate, optim=how.optim, **more)
    return plan.model_copy(update={"eval": None})


def weights(run: Ran) -> bytes:
    return (run.directory / "model" / "model.safetensors").read_bytes()


def test_most_optimizers_run_on_the_cpu() -> None:
    assert {"adamw", "adafactor", "sgd"} <= set(HERE)


@pytest.mark.parametrize("name", HERE)
def test_an_optimizer_lowers_the_loss_and_goes_on_after_a_stop(name: str, tiny: Tiny, tmp_path: Path) -> None:
    plan = plan_of(tiny, name)
    run = execute(tiny, plan, tmp_path / "run")
    assert run.status == 0, run.log[-2000:]
    told = losses(run.directory)
    assert told[-1] < told[0]
    if name not in WITH_OBJECTS:
        return
    assert execute(tiny, plan, tmp_path / "again", lambda event: isinstance(event, Checkpoint)).status == 130
    again = execute(tiny, plan, tmp_path / "again")
    assert again.status == 0, again.log[-2000:]
    assert losses(again.directory) == told
    assert weights(again) == weights(run)
