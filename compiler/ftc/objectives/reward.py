"""A reward model: a score for each answer, higher for the chosen of two (Bradley-Terry)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from ftc.objectives.base import Loaded, Objective, Options
from ftc.objectives.dpo import OWNED, PREFERENCE


class RewardOptions(Options):
    """`train.objective` with `name = "reward"`."""

    name: Literal["reward"]
    """Learn a score that is higher for the chosen of two answers."""

    centre: Annotated[float, Field(ge=0)] = 0.0
    """Weight of a penalty that keeps the scores around zero."""


def arguments(options: RewardOptions) -> dict[str, JsonValue]:
    """TRL takes the compiled pairs as they are."""
    return {
        "center_rewards_coefficient": options.centre or None,
        "disable_dropout": True,
        "logging_nan_inf_filter": False,
        "max_length": None,
        "remove_unused_columns": False,
    }


OBJECTIVE = Objective(
    name="reward",
    title="reward model",
    shapes=PREFERENCE,
    trainer="trl:RewardTrainer",
    config="trl:RewardConfig",
    options=RewardOptions,
    arguments=arguments,
    owned={key: use for key, use in OWNED.items() if not key.startswith(("precompute", "padding", "trunc"))}
    | {"center_rewards_coefficient": "train.objective.centre", "chat_template_path": "model.chat_template"},
    members=("chosen", "rejected"),
    implied=False,
    train_on="last_assistant",
    loads=Loaded(head="scores"),
    batches="pairs",
    metrics=("preference_accuracy",),
    epochs=1.0,
    epochs_reason="one pass is usual: reward models overfit soon",
    rate=0.5,
    rate_reason="half of it, as TRL's own default for reward models",
)
