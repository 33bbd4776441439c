"""Reward models that other recipes make: what is known before they are built, and whether they fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ftc.diagnostics import Finding
from ftc.facts.gather import Facts
from ftc.facts.model import ModelFacts
from ftc.jobs.chaining import base_facts
from ftc.recipe.base_recipe import REWARDS

if TYPE_CHECKING:
    from ftc.jobs.planning import Planned
    from ftc.plan.steps import RewardStep
    from ftc.recipe.load import Origins


def with_scorers(facts: Facts, scorers: Sequence[Planned], origins: Origins) -> Facts | Finding:
    """The facts with the reward models in their rewards, or why one cannot score these answers."""
    left = iter(scorers)
    rewards: list[RewardStep] = []
    models: list[ModelFacts] = []
    for number, step in enumerate(facts.rewards):
        if step.metric is not None or step.python is not None:
            rewards.append(step)
            continue
        found = _with_model(step, next(left), facts, (origins, number))
        if isinstance(found, Finding):
            return found
        rewards.append(found[0])
        models.append(found[1])
    return replace(facts, rewards=tuple(rewards), scorers=tuple(models))


def _with_model(
    step: RewardStep, made: Planned, facts: Facts, place: tuple[Origins, int]
) -> tuple[RewardStep, ModelFacts] | Finding:
    origins, number = place
    plan = made.result.plan
    assert plan is not None  # noqa: S101 - the caller has looked
    assert plan.model is not None  # noqa: S101
    assert plan.objective is not None  # noqa: S101
    model = base_facts(made, origins, head="scores", key=(*REWARDS, number, "recipe"))
    if isinstance(model, Finding):
        return model
    why = _unfit(model, facts)
    if why is None:
        lowered = {"model": model.step(plan.model.dtype), "ending": _ending(made)}
        return step.model_copy(update=lowered), model
    message = f"the reward model of `{plan.name}` cannot score these answers: {why}"
    helps = ("let both recipes begin with models of the same tokenizer and chat template",)
    return Finding("FTC519", message, origins.value(*REWARDS, number, "recipe"), help=helps)


def _unfit(model: ModelFacts, facts: Facts) -> str | None:
    """Why a reward model cannot read the tokens that are trained here; None where it can."""
    own, other = facts.model, model
    if other.tokenizer.sha256 != own.tokenizer.sha256:
        return "it has another tokenizer"
    if other.tokenizer.chat_template != facts.chat_template:
        return "it was trained with another chat template"
    if (other.context_length or 0) < (own.context_length or 0):
        return f"it reads {other.context_length:,} tokens, and the model here {own.context_length:,}"
    return None


def _ending(made: Planned) -> tuple[int, ...]:
    """The tokens that a reward model's own rows have behind the last one of an answer."""
    from ftc.data.kept.shards import read_rows

    plan, data = made.result.plan, made.result.data
    assert plan is not None  # noqa: S101 - the caller has looked
    assert plan.data is not None  # noqa: S101
    assert data is not None  # noqa: S101
    row = next(read_rows(data, plan.data.train))
    length = row.lengths[0]
    last = max(place for place in range(length) if row.mask[place])
    return tuple(row.input_ids[last + 1 : length])
