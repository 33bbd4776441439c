"""The rewards of an objective that samples answers: each with its metric, or the user's function as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ftc.diagnostics import Finding
from ftc.evaluation import Options, load
from ftc.evaluation.python_metric import problems, split
from ftc.objectives.rewards import Reward, as_table
from ftc.plan.steps import RewardStep
from ftc.recipe.layers import Key, Origins
from ftc.recipe.model import Recipe

AT: Key = ("train", "objective", "rewards")
SCORE = "reward_model"
"""What the score of a reward model is called in metrics.jsonl."""


def look_at_rewards(recipe: Recipe, origins: Origins) -> tuple[tuple[RewardStep, ...], tuple[Finding, ...]]:
    """The rewards with their weights, and everything that is wrong with them; no function is run."""
    stated: Any = getattr(recipe.train.objective, "rewards", ())
    steps: list[RewardStep] = []
    findings: list[Finding] = []
    for number, entry in enumerate(stated):
        reward, at = as_table(entry), (*AT, number)
        wrong = list(_problems(reward, at, origins))
        findings += wrong
        if not wrong:
            steps.append(_step(reward, at, origins, [step.name for step in steps]))
    return tuple(steps), tuple(findings)


def _problems(reward: Reward, at: Key, origins: Origins) -> Iterator[Finding]:
    span = origins.value(*at)
    if sum(one is not None for one in (reward.metric, reward.python, reward.recipe)) != 1:
        message = "a reward has either a `metric`, or a function, `python`, or a `recipe`"
        yield Finding(
            "FTC107", message, span, help=('write "exact_match", or { python = "rewards.py:score" }',)
        )
    elif reward.metric is not None:
        options: dict[str, Any] = dict(reward.metric_options)
        found = load(reward.metric).problems(Options(**options))
        yield from (replace(one, span=one.span or span) for one in found)
    elif reward.metric_options:
        key = next(iter(reward.metric_options))
        what = "a function" if reward.python else "a model's score"
        message = f"`{key}` is an option of metrics, and this reward is {what}"
        yield Finding(
            "FTC107", message, span, help=("remove it" if reward.recipe else "write it into the function",)
        )
    elif reward.recipe is not None:
        return
    else:
        found = problems(str(reward.python), origins.directory(*at))
        yield from (replace(one, span=span) for one in found)


def _step(reward: Reward, at: Key, origins: Origins, taken: list[str]) -> RewardStep:
    if reward.metric is not None:
        name, source = reward.metric, None
    elif reward.recipe is not None:
        name, source = SCORE, None
    else:
        file, name = split(str(reward.python))
        source = (origins.directory(*at) / file).read_text("utf-8")
    again = sum(one == name or one.startswith(f"{name}-") for one in taken)
    return RewardStep(
        name=f"{name}-{again + 1}" if again else name,
        metric=reward.metric,
        options=reward.metric_options,
        python=reward.python,
        source=source,
        weight=reward.weight,
    )
