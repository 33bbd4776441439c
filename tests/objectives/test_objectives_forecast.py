"""What a build of an objective takes, from the recipe on: its steps, and the passes of its models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftc.data.kept.batch_lengths import batch_lengths
from ftc.estimate.closed_form import estimate
from ftc.estimate.lowering import training_step
from ftc.estimate.workload import Workload, workload
from objectives.test_objectives_train import planned

PASSES = {"dpo": 1, "dpo, ipo with sft, full": 1, "kto": 3, "kto, unpaired, full": 1, "reward": 0}
"""Passes without gradient beside each that trains: of the reference, and two for the drift."""


def work_of(case: str, directory: Path, model: Path) -> Workload:
    """The work of a case, whose step is estimated too."""
    result = planned(case, directory, model)
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    step = training_step(result.plan, config)
    assert estimate(step).peak > 0
    return workload(result.plan, step, batch_lengths(result.data, result.sequences, result.plan.data))


@pytest.mark.parametrize("case", PASSES)
def test_passes_without_gradient_are_counted(case: str, tmp_path: Path, tiny_model: Path) -> None:
    work = work_of(case, tmp_path, tiny_model)
    assert work.reference.calls == PASSES[case] * work.training.calls
    assert work.reference.tokens == PASSES[case] * work.training.tokens
    assert (work.reference.flops > 0) == (PASSES[case] > 0)
    assert work.flops > work.training.flops + work.reference.flops


def test_a_pair_is_read_twice_and_padded_to_its_longer_answer(tmp_path: Path, tiny_model: Path) -> None:
    plan = planned("dpo", tmp_path, tiny_model)
    lengths = batch_lengths(plan.data, plan.sequences, plan.plan.data)
    part = plan.plan.data.train
    assert (lengths.rows.max(), lengths.rows.min()) == (part.longest, part.shortest)
    assert lengths.tokens < part.tokens <= 2 * lengths.tokens
    assert lengths.heldout is not None
    assert lengths.heldout.lengths.max() == plan.plan.data.eval.longest
    assert (lengths.heldout.end <= lengths.heldout.lengths).all()
