"""The loss on the trained tokens, in nats for a token; derived by the runtime."""

from __future__ import annotations

from ftc.evaluation.base import Metric
from ftc.evaluation.statistics import ratio

METRIC = Metric("loss", "loss per trained token", better="lower", needs="loss", high=None, combine=ratio)
"""Its parts are the summed loss of a row and how many tokens it was summed over."""
