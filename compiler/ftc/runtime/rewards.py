"""Rewards as TRL calls them: functions over the sampled answers of a batch."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ftc.evaluation import Answer, Metric, Options, ScoreError, load
from ftc.evaluation.python_metric import load as load_function
from ftc.plan.steps import RewardStep
from ftc.runtime.failure import BuildError
from ftc.runtime.ready import Ready

CODE = "code_runs"


def functions(plan: Ready, tokenizer: Any) -> list[Callable[..., list[float | None]]]:
    """One function for each reward of the plan, in order; raises BuildError where one cannot be read."""
    return [_function(step, tokenizer) for step in plan.objective.rewards]


def _metric(step: RewardStep) -> Metric:
    if step.metric is not None:
        return load(step.metric)
    try:
        return load_function(str(step.python), step.source or "", name=step.name)
    except ScoreError as error:
        raise BuildError("FTC575", str(error), "mend the file, and run the same command again") from error


def _function(step: RewardStep, tokenizer: Any) -> Callable[..., list[float | None]]:
    metric = _metric(step)
    stated: dict[str, Any] = dict(step.options)
    options = Options(
        **stated, count_tokens=lambda text: len(tokenizer.encode(text, add_special_tokens=False))
    )

    def reward(completions: list[str], input_ids: list[list[int]], carried: list[str], **_: Any) -> Any:
        """The reward of each answer, None where its row cannot be scored."""
        scores = []
        for answer, ids, columns in zip(completions, input_ids, carried, strict=True):
            row = json.loads(columns)
            asked = Answer(tokenizer.decode(ids, skip_special_tokens=True), answer, _reference(row), row)
            scores.append(_scored(metric, asked, options, step.name))
        return scores

    reward.__name__ = step.name
    return reward


def unconfined(plan: Ready) -> str | None:
    """What is to be said before answers' code runs on this machine; None where none does."""
    scored = {reward.metric for reward in plan.objective.rewards}
    if CODE not in scored.union(*(suite.metrics for suite in plan.suites)):
        return None
    from ftc.evaluation.code_runs import unconfined as left

    within = left()
    return f"this machine does not keep answers' code from {' and '.join(within)}" if within else None


def _reference(row: dict[str, Any]) -> str:
    value = row.get("reference")
    return "" if value is None else str(value)


def _scored(metric: Metric, asked: Answer, options: Options, name: str) -> float | None:
    assert metric.score is not None  # noqa: S101 - a reward scores one answer
    try:
        return metric.score(asked, options.of(asked))
    except ScoreError as error:
        raise BuildError(
            "FTC575", f"the reward `{name}` fails: {error}", "mend it, and run the same command again"
        ) from error
