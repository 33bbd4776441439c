"""The closed form: peak memory of a training step by plain arithmetic, in milliseconds, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

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
    """The step's peak, which does not hang on the device's name; the last few hundred are remembered.

    Raises InexpressibleError where the step has what the form has no account of.
    """
    return _estimated(step.model_copy(update={"device": None}).model_dump_json())


@lru_cache(maxsize=512)
def _estimated(step: str) -> Estimate:
    played = simulate(TrainingStep.model_validate_json(step)).segments
    highest = max(played, key=lambda segment: segment.peak)
    segments: dict[str, int] = {}
    for segment in played:
        segments[segment.name] = max(segment.peak, segments.get(segment.name, 0))
    breakdown = dict(zip(KINDS, highest.held, strict=True))
    return Estimate(highest.peak, highest.name, breakdown, segments)
