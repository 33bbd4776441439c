"""Perplexity: the exponential of the mean loss of a token; derived from the loss by the runtime."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ftc.evaluation.base import Metric
from ftc.evaluation.statistics import ratio


def combine(sums: Sequence[float]) -> float:
    """Perplexity of all rows, from their summed loss in nats and the number of tokens it was summed over.

    Infinite where the loss is too large for its exponential. Source: Jelinek et al. 1977.
    """
    try:
        return math.exp(ratio(sums))
    except OverflowError:
        return math.inf


METRIC = Metric("perplexity", "perplexity", better="lower", needs="loss", low=1.0, high=None, combine=combine)
"""Its parts are the summed loss of a row and how many tokens it was summed over."""
