"""How answers are judged: one file a metric, one line each in this table, loaded by name on first use.

Nothing here loads a model. The runtime makes answers, losses or rankings, and these functions score them.
"""

from __future__ import annotations

from importlib import import_module

from ftc.evaluation.base import Answer, Metric, Options, ScoreError

__all__ = ["METRICS", "Answer", "Metric", "Options", "ScoreError", "load"]

METRICS: dict[str, str] = {
    "loss": "loss",
    "perplexity": "perplexity",
    "exact_match": "exact_match",
    "f1": "token_f1",
    "accuracy": "accuracy",
    "label_accuracy": "labels",
    "macro_f1": "labels:MACRO_F1",
    "choice_accuracy": "choices",
    "contains": "contained",
    "number_match": "number_match",
    "regex": "pattern",
    "valid_json": "valid_json",
    "json_schema": "schema",
    "format": "form",
    "length": "length",
    "checks": "checklist",
    "code_runs": "code_runs",
    "rouge1": "rouge:ROUGE_1",
    "rouge2": "rouge:ROUGE_2",
    "rougeL": "rouge:ROUGE_L",
    "bleu": "bleu",
    "chrf": "chrf",
    "refusal_rate": "refusal",
    "refusal_accuracy": "refusal:ACCURACY",
    "preference_accuracy": "preference",
    "judge": "judge",
    "mrr": "retrieval:MRR",
    "recall": "retrieval:RECALL",
    "ndcg": "retrieval:NDCG",
}
"""The file of each metric here, and the name of its `Metric` there where it has several."""


def load(name: str) -> Metric:
    """The metric called `name`, a key of `METRICS`."""
    file, _, attribute = METRICS[name].partition(":")
    metric: Metric = getattr(import_module(f"ftc.evaluation.{file}"), attribute or "METRIC")
    return metric
