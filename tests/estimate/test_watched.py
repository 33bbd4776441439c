"""The held-out loss evaluated while training: its memory and its time."""

from __future__ import annotations

import pytest

from estimate.closed_steps import step
from ftc.estimate.closed_form import estimate
from ftc.estimate.step import Evaluation, TrainingStep

EVALUATION = Evaluation(rows=32, length=512, positions=512)


def watching(method: str, *, watched: bool) -> TrainingStep:
    found = step("llama", method, "none", (1, 128))
    evaluation = EVALUATION.model_copy(update={"watched": watched})
    return found.model_copy(update={"evaluation": evaluation})


@pytest.mark.parametrize("method", ["full", "lora"])
def test_its_memory_is_that_of_the_abstract_run(method: str) -> None:
    """It takes place among the optimizer's states."""
    from ftc.estimate.abstract.depth import predict

    of = watching(method, watched=True)
    found, exact = estimate(of), predict(of).phases
    assert found.segments["evaluation"] == pytest.approx(exact["evaluation"].size, rel=0.005)


def test_the_optimizers_states_are_there_only_while_training() -> None:
    without, watched = (estimate(watching("full", watched=kind)) for kind in (False, True))
    states = watched.segments["evaluation"] - without.segments["evaluation"]
    assert states == watched.breakdown["optimizer"] > 0
