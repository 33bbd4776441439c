"""The closed form: peak memory of a training step by plain arithmetic, in milliseconds, without torch."""

from __future__ import annotations

from dataclasses import dataclass

from ftc.estimate.architecture import InexpressibleError
from ftc.estimate.ledger import KINDS
from ftc.estimate.simulate import simulate
from ftc.estimate.step import TrainingStep

__all__ = ["Estimate", "InexpressibleError", "estimate"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Most bytes that PyTorch's allocator has handed out at once, when, and to what.

    `segments` are the peaks of the parts of the step, `breakdown` the bytes by kind at the highest.
    """

    peak: int
    segment: str
    breakdown: dict[str, int]
    segments: dict[str, int]


def estimate(step: TrainingStep) -> Estimate:
    """The step's peak. Raises InexpressibleError where the step has what the form has no account of."""
    played = simulate(step).segments
    highest = max(played, key=lambda segment: segment.peak)
    segments: dict[str, int] = {}
    for segment in played:
        segments[segment.name] = max(segment.peak, segments.get(segment.name, 0))
    breakdown = dict(zip(KINDS, highest.held, strict=True))
    return Estimate(highest.peak, highest.name, breakdown, segments)
