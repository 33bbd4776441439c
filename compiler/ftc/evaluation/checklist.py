"""Checks of a row's own: each row says by which metrics its answer is judged, and all have to hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any

from ftc.evaluation.base import Answer, Metric, Options, ScoreError

KINDS = {
    "contains": "ftc.evaluation.contained",
    "exact_match": "ftc.evaluation.exact_match",
    "accuracy": "ftc.evaluation.accuracy",
    "number_match": "ftc.evaluation.number_match",
    "regex": "ftc.evaluation.pattern",
    "valid_json": "ftc.evaluation.valid_json",
    "json_schema": "ftc.evaluation.schema",
    "format": "ftc.evaluation.form",
    "length": "ftc.evaluation.length",
}
"""The metrics that are 0 or 1, which a row's check may name."""


def holds(check: Mapping[str, Any], answer: Answer, options: Options) -> bool:
    """Whether one check holds: `metric` and that metric's options, as `{metric = "length", at_most = 5}`."""
    name = check.get("metric")
    if name not in KINDS:
        raise ScoreError(f"a check names the metric {name!r}; it can be {', '.join(KINDS)}")
    score = import_module(KINDS[name]).METRIC.score
    columns = {key: value for key, value in check.items() if key != "metric"}
    found = score(replace(answer, columns={**answer.columns, **columns}), options)
    if found is None:
        raise ScoreError(f"a check by {name} says nothing to check")
    return bool(found)


def score(answer: Answer, options: Options) -> float | None:
    """1 where all checks of the column `checks` hold; None where the row has none.

    The column is a list of checks, or the JSON text of one: as text no reader gives rows each other's keys.
    """
    own = answer.columns.get("checks")
    if isinstance(own, str):
        try:
            own = json.loads(own)
        except ValueError as error:
            raise ScoreError(f"the column `checks` is not JSON: {error}") from error
    return float(all(holds(check, answer, options) for check in own)) if own else None


METRIC = Metric("checks", "passes the row's own checks", score=score, alone=True)
