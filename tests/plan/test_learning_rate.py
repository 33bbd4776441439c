"""Warm-up and schedules, against the rates that transformers' own schedulers then give."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_facts import plan_of

from ftc.plan.learning_rate import LOWERED, lowered, warmup
from ftc.recipe.training import Schedule, Train

TEXT = {"text": "VARCHAR"}
PEAK = 3e-4
STEPS = 40
STABLE = 'name = "warmup_stable_decay"'


def rates(train: Train, steps: int = STEPS) -> list[float]:
    """The rate of each step, from the scheduler that the Trainer would make."""
    import torch
    from transformers.optimization import get_scheduler

    fields: dict[str, Any] = lowered(train, steps, PEAK)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=fields["learning_rate"])
    scheduler = get_scheduler(
        fields["lr_scheduler_type"],
        optimizer,
        num_warmup_steps=fields["warmup_steps"],
        num_training_steps=steps,
        scheduler_specific_kwargs=fields.get("lr_scheduler_kwargs"),
    )
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize("name", LOWERED)
@pytest.mark.parametrize("rising", [0.0, 0.1, 7])
def test_every_schedule_rises_to_its_peak_and_none_above_it(name: str, rising: float) -> None:
    train = Train(schedule=name, warmup=rising)
    found, steps = rates(train), warmup(train, STEPS)
    assert steps == {0.0: 0, 0.1: 4, 7: 7}[rising]
    assert found[:steps] == pytest.approx([PEAK * step / steps for step in range(steps)])
    assert found[steps] == pytest.approx(PEAK)
    assert max(found) == pytest.approx(PEAK)
    assert min(found) >= 0


@pytest.mark.parametrize("name", ["linear", "cosine", "polynomial", "warmup_stable_decay"])
def test_a_floor_is_where_the_rate_ends(name: str) -> None:
    found = rates(Train(schedule=Schedule(name=name, floor=0.1)), 400)
    assert found[-1] == pytest.approx(0.1 * PEAK, rel=0.15)
    assert all(later <= earlier * (1 + 1e-9) for earlier, later in pairwise(found))
    assert rates(Train(schedule=name), 400)[-1] < 0.02 * PEAK


def test_the_options_of_each_schedule_do_what_they_say() -> None:
    line = rates(Train(schedule="linear"))
    assert rates(Train(schedule=Schedule(name="polynomial", power=1.0))) == pytest.approx(line)
    assert rates(Train(schedule=Schedule(name="polynomial", power=3.0)))[20] == pytest.approx(PEAK / 8)
    again = rates(Train(schedule=Schedule(name="cosine_with_restarts", restarts=3)))
    assert [step for step, rate in enumerate(again) if rate == pytest.approx(PEAK)] == [0, 10, 20, 30]
    slow = rates(Train(schedule=Schedule(name="inverse_sqrt", timescale=10), warmup=4), 100)
    assert slow[4 + 30] == pytest.approx(PEAK / 2)
    late = rates(Train(schedule=Schedule(name="warmup_stable_decay", decay=10), warmup=5))
    assert late[5:31] == pytest.approx([PEAK] * 26)
    assert late[35] == pytest.approx(PEAK / 2)
    part = rates(Train(schedule=Schedule(name="warmup_stable_decay", decay=0.25), warmup=5))
    assert part == late
    root = rates(Train(schedule=Schedule(name="warmup_stable_decay", decay=10, shape="1-sqrt"), warmup=5))
    assert root[30 + 2] == pytest.approx(PEAK * (1 - 0.2**0.5))


@settings(max_examples=60, deadline=None)
@given(part=st.floats(0, 1, exclude_max=True), steps=st.integers(1, 2000))
def test_a_part_never_warms_up_all_the_way(part: float, steps: int) -> None:
    found = warmup(Train(warmup=part), steps)
    assert 0 <= found < steps
    assert found == 0 or part * steps <= found + 1e-6 or found == steps - 1


@pytest.mark.parametrize(
    ("written", "codes", "words"),
    [
        ("warmup = 8", ["FTC550"], "8 steps, and training has 8"),
        (
            'schedule = { name = "warmup_stable_decay", decay = 6 }\nwarmup = 4',
            ["FTC550"],
            "do not fit into 8",
        ),
        ('schedule = { name = "polynomial", floor = 0.5 }\nwarmup = 7', [], ""),
        ("early_stopping = { patience = 4 }\neval_every = 2", ["FTC550"], "needs more than the 4"),
        ("early_stopping = { patience = 3 }\neval_every = 2", [], ""),
    ],
)
def test_what_does_not_fit_the_steps_is_said(
    tmp_path: Path, written: str, codes: list[str], words: str
) -> None:
    split = '[data.split]\neval = 0.2\n[lints]\nsmall_eval = "allow"\n'
    outcome = plan_of(tmp_path, TEXT, f"{split}[train]\nsteps = 8\n{written}")
    assert [finding.code for finding in outcome.findings] == codes
    assert words in " ".join(finding.message for finding in outcome.findings)


def test_choices_of_a_schedule_are_said(tmp_path: Path) -> None:
    outcome = plan_of(tmp_path, TEXT, '[train]\nsteps = 10\nschedule = "warmup_stable_decay"')
    said = {choice.key: choice.value for choice in outcome.plan.choices}
    assert said["train.schedule.decay"] == 0.2
    assert outcome.plan.train is not None
    assert outcome.plan.train.arguments["lr_scheduler_kwargs"] == {
        "decay_type": "linear",
        "min_lr_ratio": 0.0,
        "num_decay_steps": 2,
    }
