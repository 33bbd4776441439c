"""How answers are judged: one file a metric, one line each in this table, loaded by name on first use.

Nothing here loads a model. The runtime makes answers, losses or rankings, and these functions score them.
"""

from __future__ import annotations

from importlib import import_module

from ftc.evaluation.base import Answer, Metric, Options

__all__ = ["METRICS", "Answer", "Metric", "Options", "load"]

METRICS: dict[str, str] = {
    "loss": "ftc.evaluation.loss",
    "perplexity": "ftc.evaluation.perplexity",
    "label_accuracy": "ftc.evaluation.labels",
    "exact_match": "ftc.evaluation.exact_match",
}


def load(name: str) -> Metric:
    """The metric called `name`, a key of `METRICS`."""
    metric: Metric = import_module(METRICS[name]).METRIC
    return metric
