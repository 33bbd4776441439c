"""A plan that is finished: every step the runtime needs is there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from ftc.plan.steps import (
    DataStep,
    EnvironmentStep,
    EvalStep,
    ModelStep,
    ObjectiveStep,
    Plan,
    RenderStep,
    TokenizerStep,
    TrainStep,
    TuneStep,
)
from ftc.runtime.failure import BuildError

Part = TypeVar("Part")


@dataclass(frozen=True)
class Ready:
    """The steps of a finished plan; `suites` are all that is measured."""

    seed: int
    model: ModelStep
    tokenizer: TokenizerStep
    objective: ObjectiveStep
    render: RenderStep
    data: DataStep
    tune: TuneStep
    train: TrainStep
    environment: EnvironmentStep
    suites: tuple[EvalStep, ...]

    @property
    def scorers(self) -> tuple[ModelStep, ...]:
        """The models that score sampled answers, in the order of the rewards."""
        return tuple(reward.model for reward in self.objective.rewards if reward.model is not None)


def _finished(step: Part | None, name: str) -> Part:
    if step is None:
        raise BuildError("FTC703", f"the plan is not finished: it has no {name}")
    return step


def ready(plan: Plan) -> Ready:
    """The plan's steps. Raises BuildError if one that is needed is missing."""
    return Ready(
        seed=plan.seed,
        model=_finished(plan.model, "model"),
        tokenizer=_finished(plan.tokenizer, "tokenizer"),
        objective=_finished(plan.objective, "objective"),
        render=_finished(plan.render, "render"),
        data=_finished(plan.data, "data"),
        tune=_finished(plan.tune, "tune"),
        train=_finished(plan.train, "train"),
        environment=_finished(plan.environment, "environment"),
        suites=plan.all_suites,
    )


def read_plan(path: Path) -> Ready:
    """The finished plan in a file. Raises BuildError if it cannot be read or is not finished."""
    try:
        plan = Plan.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise BuildError("FTC703", f"the plan cannot be read: {str(error).splitlines()[0]}") from error
    return ready(plan)
