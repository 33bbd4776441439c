"""Executions that several tests look at."""

from __future__ import annotations

from pathlib import Path

import pytest
from in_process import Ran, execute

from ftc.plan.steps import Plan
from tiny_plan import LABELS, Tiny, write_tiny


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Tiny:
    return write_tiny(tmp_path_factory.mktemp("tiny"), tiny_model)


@pytest.fixture(scope="session")
def lora_plan(tiny: Tiny) -> Plan:
    dropout = {**tiny.plan().tune.peft, "lora_dropout": 0.1}
    plan = tiny.plan(steps=8, save_every=3, learning_rate=0.05, metrics=ALL_METRICS, labels=LABELS)
    return plan.model_copy(update={"tune": plan.tune.model_copy(update={"peft": dropout})})


ALL_METRICS = ("loss", "exact_match", "label_accuracy")


@pytest.fixture(scope="session")
def lora_run(tiny: Tiny, lora_plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """An uninterrupted LoRA run with dropout, over two epochs."""
    return execute(tiny, lora_plan, tmp_path_factory.mktemp("runs") / "lora")


@pytest.fixture(scope="session")
def full_run(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """An uninterrupted run that trains every weight on few rows, again and again."""
    plan = tiny.plan(
        method="full", steps=40, save_every=20, learning_rate=0.01, metrics=ALL_METRICS, labels=LABELS
    )
    return execute(tiny, plan, tmp_path_factory.mktemp("runs") / "full")
