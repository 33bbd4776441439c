"""Retrieval: where the relevant rows stand among those ranked by an embedding.

A row's columns are `ranked`, the ids that were found, best first, and `relevant`: the ids that are right, or
a table of each id's gain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ftc.evaluation.base import Answer, Metric, Options


def gains(relevant: Any) -> dict[str, float]:
    """The gain of each relevant id; 1 for each where they have none of their own."""
    if isinstance(relevant, Mapping):
        return {str(one): float(gain) for one, gain in relevant.items() if gain and gain > 0}
    return {str(one): 1.0 for one in relevant or ()}


def reciprocal_rank(ranked: Sequence[str], relevant: Mapping[str, float], k: int) -> float:
    """1 by the rank of the first relevant id among the first k, else 0. Source: Voorhees 1999."""
    ranks = [rank for rank, one in enumerate(ranked[:k], 1) if one in relevant]
    return 1 / ranks[0] if ranks else 0.0


def recall(ranked: Sequence[str], relevant: Mapping[str, float], k: int) -> float:
    """The share of the relevant ids that are among the first k."""
    return len(set(ranked[:k]) & set(relevant)) / len(relevant)


def discounted(values: Sequence[float]) -> float:
    """The discounted cumulative gain: each gain by the binary logarithm of its rank plus 1."""
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(values, 1))


def ndcg(ranked: Sequence[str], relevant: Mapping[str, float], k: int) -> float:
    """The discounted gain of the first k by that of the best order. Source: Järvelin and Kekäläinen 2002."""
    best = discounted(sorted(relevant.values(), reverse=True)[:k])
    return discounted([relevant.get(one, 0.0) for one in ranked[:k]]) / best


def _metric(name: str, title: str, measure: Any) -> Metric:
    def score(answer: Answer, options: Options) -> float | None:
        relevant = gains(answer.columns.get("relevant"))
        ranked = [str(one) for one in answer.columns.get("ranked", ())]
        return float(measure(list(dict.fromkeys(ranked)), relevant, options.k)) if relevant else None

    return Metric(name, title, needs="embeddings", score=score, alone=True)


MRR = _metric("mrr", "MRR", reciprocal_rank)
RECALL = _metric("recall", "recall", recall)
NDCG = _metric("ndcg", "nDCG", ndcg)
