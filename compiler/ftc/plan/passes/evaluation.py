"""Decide what is measured on the held-out rows, before and after."""

from __future__ import annotations

from typing import Literal

from ftc.diagnostics import Finding
from ftc.plan.context import Context, Outcome, choice, filled
from ftc.plan.steps import Choice, DataStep, EvalStep, Plan

Metric = Literal["loss", "exact_match", "label_accuracy"]
SHORT_ANSWER = 64
"""Tokens up to which an answer can be expected to match word for word."""


def _metrics(data: DataStep, context: Context) -> tuple[tuple[Metric, ...], tuple[Choice, ...]]:
    stated = context.recipe.eval.metrics
    if stated is not None:
        return stated, ()
    metrics: list[Metric] = ["loss"]
    reasons = ["loss always"]
    if 0 < data.longest_target <= SHORT_ANSWER:
        metrics.append("exact_match")
        reasons.append(f"the answers are short, {data.longest_target} tokens at most")
    if data.labels or context.recipe.eval.labels:
        metrics.append("label_accuracy")
        reasons.append("and from a closed set")
    return tuple(metrics), (choice("eval.metrics", list(metrics), "; ".join(reasons)),)


def _labels(
    data: DataStep, metrics: tuple[Metric, ...], context: Context
) -> tuple[tuple[str, ...], tuple[Choice, ...]]:
    stated = context.recipe.eval.labels
    if "label_accuracy" not in metrics:
        return (), ()
    if stated is not None:
        return stated, ()
    labels = data.labels or ()
    return labels, (choice("eval.labels", list(labels), "all answers that occur in the training rows"),)


def _unfit(data: DataStep, metrics: tuple[Metric, ...], context: Context) -> Finding | None:
    """The finding for a metric which the data cannot serve."""
    span = context.origins.value("eval", "metrics")
    if data.longest_target == 0 and metrics != ("loss",):
        return Finding(
            "FTC507",
            "the rows have no answers, so only the loss can be measured",
            span,
            help=('write metrics = ["loss"]',),
        )
    if "label_accuracy" in metrics and not (data.labels or context.recipe.eval.labels):
        return Finding(
            "FTC507",
            "label_accuracy needs a closed set of answers, and the training rows show none",
            span,
            help=('name the answers in [eval]: labels = ["…", "…"]',),
        )
    return None


def run(plan: Plan, context: Context) -> Outcome:
    """Measure the loss, and the answers where they are short or from a closed set."""
    data = plan.data
    assert data is not None  # noqa: S101 - the order of the passes
    if data.eval is None:
        return Outcome(plan)
    metrics, metric_choices = _metrics(data, context)
    problem = _unfit(data, metrics, context)
    if problem:
        return Outcome(plan, (problem,))
    labels, label_choices = _labels(data, metrics, context)
    stated = context.recipe.eval.max_new_tokens
    longest = stated or data.longest_target + 1
    reason = "the longest answer and its end token"
    length = (
        () if stated or "exact_match" not in metrics else (choice("eval.max_new_tokens", longest, reason),)
    )
    step = EvalStep(metrics=metrics, labels=labels, max_new_tokens=longest, batch=context.recipe.eval.batch)
    return Outcome(filled(plan, metric_choices + label_choices + length, eval=step))
