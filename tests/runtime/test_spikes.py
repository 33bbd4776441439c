"""The rule for a loss that goes up for good: it sees what has diverged, and nothing in ordinary noise."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable

import pytest

from ftc.runtime.spikes import IN_A_ROW, JUDGED, PATIENCE, Spike, Spikes

Curve = Callable[[random.Random, int], float]


def first_spike(losses: Iterable[float]) -> tuple[int, Spike] | None:
    """The step at which the rule speaks, and what it says."""
    rule = Spikes()
    for step, loss in enumerate(losses, 1):
        found = rule.add(step, loss)
        if found is not None:
            return step, found
    return None


def falling(step: int, start: float = 2.5, end: float = 1.2, over: float = 80) -> float:
    return end + (start - end) * math.exp(-step / over)


def autoregressive(chance: random.Random, steps: int) -> list[float]:
    level, found = 0.0, []
    for step in range(steps):
        level = 0.9 * level + chance.gauss(0, 0.1)
        found.append(max(0.01, falling(step) + level))
    return found


NOISE: dict[str, Curve] = {
    "normal": lambda chance, step: max(0.05, falling(step) + chance.gauss(0, 0.3)),
    "does not learn": lambda chance, _: max(0.05, 2.0 + chance.gauss(0, 0.5)),
    "heavy tail": lambda chance, _: math.exp(chance.gauss(0, 1)),
    "very heavy tail": lambda chance, _: math.exp(chance.gauss(0, 2.5)),
    "two kinds of rows": lambda chance, _: chance.gauss(10, 1) if chance.random() < 0.3 else 0.1,
    "half and half": lambda chance, _: max(0.1, chance.gauss(6, 1) if chance.random() < 0.5 else 0.2),
    "learned by heart": lambda chance, step: falling(step, 3, 1e-4, 15) * math.exp(chance.gauss(0, 1.5)),
    "preferences": lambda chance, step: 0.69 * math.exp(-step / 60) * math.exp(chance.gauss(0, 1)),
    "epochs": lambda chance, step: max(0.05, 2.0 - 0.4 * (step // 100) + chance.gauss(0, 0.2)),
    "single spikes": lambda chance, step: falling(step) * (9 if chance.random() < 0.02 else 1),
    "policy gradients": lambda chance, _: chance.gauss(0, 0.02),
}


@pytest.mark.parametrize("name", NOISE)
@pytest.mark.parametrize("seed", range(20))
def test_noise_is_left_alone(name: str, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    assert first_spike(NOISE[name](chance, step) for step in range(2000)) is None


@pytest.mark.parametrize("seed", range(20))
def test_correlated_noise_is_left_alone(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    assert first_spike(autoregressive(chance, 2000)) is None


def test_a_bump_that_recovers_is_left_alone() -> None:
    """A warm-up that goes too high for a while: forty steps up, and down again as fast as a loss falls."""
    bump = [falling(step) + (4 * math.exp(-(step - 40) / 12) if step >= 40 else 0) for step in range(300)]
    assert first_spike(bump) is None


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("start", [40, 400])
def test_divergence_is_seen_soon_and_where_it_began(seed: int, start: int) -> None:
    """Up to three times where training began, within some ten steps, with ordinary noise."""
    chance = random.Random(seed)  # noqa: S311 - no secret

    def loss(step: int) -> float:
        level = falling(step) if step < start else min(7.5, falling(start) + 0.7 * (step - start + 1))
        return max(0.05, level + chance.gauss(0, 0.2))

    found = first_spike(loss(step) for step in range(1000))
    assert found is not None
    step, spike = found
    assert start < spike.step <= start + 5
    assert step - spike.step <= PATIENCE
    assert spike.now > 2.5 > spike.before


def test_slow_divergence_is_seen_against_the_lowest_level() -> None:
    """One part in a hundred a step: the running median follows it, the lowest one does not."""
    found = first_spike(1.0 * 1.01 ** max(0, step - 200) for step in range(600))
    assert found is not None
    assert found[0] < 300


def test_nothing_is_judged_before_there_is_a_level() -> None:
    jump = [2.0] * (JUDGED - 1) + [9.0] * 4
    assert first_spike(jump) is None
    found = first_spike([2.0] * 60 + [9.0] * 30)
    assert found is not None
    assert found[0] >= 60 + IN_A_ROW
