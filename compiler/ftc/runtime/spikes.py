"""Divergence that stays finite: a loss that goes up for good, told from one that is noisy.

A step is high if its loss is above both the median of the first steps and the lowest running median by
six standard deviations, as the median absolute deviation estimates them. Training has diverged when so many
steps in a row are high that chance would bring it about less than once in a billion times, going by how
often single steps were high before, at least eight, and the losses of these steps are not on their way down.
A loss that can be negative, as that of policy gradients, has no level to leave, and is not judged.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import ceil, log
from statistics import median

FIRST = 8
"""Steps whose median is where training began."""

JUDGED = 16
"""Steps before any is judged."""

WINDOW = 32
"""Steps of the running median."""

DEVIATIONS = 6.0
NORMAL = 1.4826
"""A normal distribution's standard deviation in median absolute deviations."""

LEAST = 0.02
"""The least deviation that is believed, as a part of the median."""

IN_A_ROW = 8
CHANCE = 1e-9

RECOVERING = 0.8
"""A row of high steps recovers while its later half is this much nearer to the median than its earlier."""

PATIENCE = 64
"""High steps in a row after which recovering is waited for no longer."""


@dataclass(frozen=True)
class Spike:
    """Where the loss went up: the first high step, its loss, the median before, and the loss now."""

    step: int
    loss: float
    before: float
    now: float


@dataclass
class Spikes:
    """The judgement over the losses so far; `add` is called for each step in order."""

    first: list[float] = field(default_factory=list)
    window: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    level: float = float("inf")
    deviation: float = 0.0
    streak: list[tuple[int, float]] = field(default_factory=list)
    judged: int = 0
    high: int = 0
    signed: bool = False

    def add(self, step: int, loss: float) -> Spike | None:
        """Take in a step's loss; the spike, once training has diverged."""
        self.signed = self.signed or loss <= 0
        if self.signed:
            return None
        if len(self.first) < FIRST:
            self.first.append(loss)
        if len(self.window) < JUDGED and not self.judged:
            self._settle([loss])
            return None
        self.judged += 1
        if loss <= self.threshold:
            self._settle([*(other for _, other in self.streak), loss])
            self.streak = []
            return None
        self.high += 1
        self.streak.append((step, loss))
        return self._spike() if len(self.streak) >= self._needed() and not self._recovers() else None

    @property
    def threshold(self) -> float:
        """The loss above which a step is high."""
        deviation = max(self.deviation, LEAST * self.level)
        return max(self.level + DEVIATIONS * deviation, median(self.first))

    def _settle(self, losses: list[float]) -> None:
        """Let ordinary losses move the running median, of which the lowest counts."""
        self.window.extend(losses)
        middle = median(self.window)
        if middle < self.level or len(self.window) <= JUDGED:
            self.level = middle
            self.deviation = NORMAL * median(abs(loss - middle) for loss in self.window)

    def _needed(self) -> int:
        """High steps in a row that are no chance."""
        length = len(self.streak)
        share = (self.high - length + 1) / (self.judged - length + 2)
        return max(IN_A_ROW, ceil(log(CHANCE) / log(share)))

    def _recovers(self) -> bool:
        if len(self.streak) >= PATIENCE:
            return False
        losses, half = [loss for _, loss in self.streak], len(self.streak) // 2
        earlier, later = median(losses[:half]), median(losses[half:])
        return later - self.level < RECOVERING * (earlier - self.level)

    def _spike(self) -> Spike:
        step, loss = self.streak[0]
        return Spike(step, loss, self.level, median(loss for _, loss in self.streak[-IN_A_ROW:]))
