"""Overfitting, read from both losses: what is held out gets worse while what is trained on gets better."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from ftc.runtime.history import History

RISE = 0.01
"""The held-out loss has risen when it is higher by this part of its minimum."""

SINCE = 2
"""Evaluations behind the minimum that are all that much higher."""

STEPS = 3
"""Steps that a median of the training loss is taken over, at least."""


@dataclass(frozen=True)
class Overfitting:
    """The held-out loss at its minimum and now, the training loss before the minimum and since."""

    best_step: int
    best: float
    step: int
    held_out: float
    before: float
    since: float

    @property
    def message(self) -> str:
        """It in a sentence, with its figures."""
        return (
            f"the model overfits: the held-out loss rose from {self.best:.4g} at step {self.best_step} to "
            f"{self.held_out:.4g} at step {self.step}, while the training loss fell from {self.before:.4g} "
            f"to {self.since:.4g}"
        )


def overfitting(history: History) -> Overfitting | None:
    """What the curves show by now; None while the held-out loss follows the training loss."""
    best = history.best
    if best is None:
        return None
    step, lowest = best
    later = [(other, loss) for other, loss in history.held_out if other > step]
    if len(later) < SINCE or any(loss <= lowest * (1 + RISE) for _, loss in later[-SINCE:]):
        return None
    now, held_out = later[-1]
    since = [loss for other, loss in history.losses if step < other <= now]
    earlier = [loss for other, loss in history.losses if step - len(since) < other <= step]
    return _told((step, lowest), (now, held_out), earlier, since)


def by_ends(history: History, before: float | None, after: float | None) -> Overfitting | None:
    """The same where the held-out loss is known before and after training alone."""
    if before is None or after is None or after <= before * (1 + RISE) or not history.losses:
        return None
    losses, quarter = [loss for _, loss in history.losses], max(STEPS, len(history.losses) // 4)
    return _told((0, before), (history.losses[-1][0], after), losses[:quarter], losses[-quarter:])


def _told(
    best: tuple[int, float], now: tuple[int, float], earlier: list[float], since: list[float]
) -> Overfitting | None:
    if len(earlier) < STEPS or len(since) < STEPS or median(since) >= median(earlier):
        return None
    return Overfitting(*best, *now, median(earlier), median(since))
