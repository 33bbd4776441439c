"""Rewards as TRL calls them: functions over the sampled answers of a batch."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ftc.evaluation import Answer, Metric, Options, ScoreError, load
from ftc.evaluation.python_metric import load as load_function
from ftc.plan.steps import ModelStep, RewardStep
from ftc.runtime.failure import BuildError
from ftc.runtime.load import load_model
from ftc.runtime.ready import Ready
from ftc.runtime.score import row_scores

CODE = "code_runs"
AT_A_TIME = 8
"""Answers that a reward model scores at a time."""


def functions(
    plan: Ready, tokenizer: Any, scorers: Sequence[Path] = ()
) -> list[Callable[..., list[float | None]]]:
    """One function for each reward of the plan, in order; raises BuildError where one cannot be read.

    `scorers` are the directories of the reward models among them.
    """
    places = iter(scorers)
    return [
        _function(step, tokenizer) if step.model is None else _scorer(step, step.model, next(places), plan)
        for step in plan.objective.rewards
    ]


def _scorer(
    step: RewardStep, model_step: ModelStep, directory: Path, plan: Ready
) -> Callable[..., list[float | None]]:
    """The scores that a reward model gives prompts with their answers, all as tokens.

    Behind an answer comes what stands there in the model's own rows, unless the answer was cut.
    """
    import torch

    pad = plan.tokenizer.pad_id
    model = load_model(model_step, directory, device=plan.environment.device, head="scores")
    model.config.get_text_config().pad_token_id = pad
    model = model.requires_grad_(False).to(plan.environment.device).eval()

    def whole(prompt: list[int], answer: list[int], stops: frozenset[int]) -> list[int]:
        ended = bool(answer) and answer[-1] in stops
        return [*prompt, *answer, *(step.ending if ended else ())]

    def reward(completion_ids: list[list[int]], input_ids: list[list[int]], **more: Any) -> list[float]:
        """The reward of each answer."""
        stops = frozenset(getattr(more.get("trainer"), "eos_token_ids", ())) | {plan.tokenizer.eos_id}
        rows = [whole(*pair, stops) for pair in zip(input_ids, completion_ids, strict=True)]
        with torch.no_grad():
            some = (rows[start : start + AT_A_TIME] for start in range(0, len(rows), AT_A_TIME))
            return [score for part in some for score in row_scores(model, part, pad_id=pad)]

    reward.__name__ = step.name
    return reward  # type: ignore[return-value]


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

    def reward(
        completions: list[str], input_ids: list[list[int]], carried: list[str] | None = None, **_: Any
    ) -> Any:
        """The reward of each answer, None where its row cannot be scored; rows may be prompts alone."""
        scores = []
        for answer, ids, columns in zip(
            completions, input_ids, carried or ["{}"] * len(input_ids), strict=True
        ):
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
