"""Odds-ratio preference optimisation: learn the chosen answer and its odds against the other (Hong, 2024)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from ftc.objectives.base import Objective, Options
from ftc.objectives.dpo import PREFERENCE

ALONE = {
    "dataset_num_proc": "",
    "disable_dropout": "",
    "generate_during_eval": "",
    "is_encoder_decoder": "",
    "logging_nan_inf_filter": "",
    "max_completion_length": "data.max_length",
    "max_length": "data.max_length",
    "model_init_kwargs": "model.dtype",
    "remove_unused_columns": "",
}
"""Fields which the compiled rows decide, in the configs of trainers without a reference."""


class OrpoOptions(Options):
    """`train.objective` with `name = "orpo"`."""

    name: Literal["orpo"]
    """Learn the chosen answer, and make its odds higher than the rejected one's; needs no reference.

    The loss of the chosen answer counts its prompt too, as TRL has it.
    """

    beta: Annotated[float, Field(gt=0)] = 0.1
    """Weight of the odds against the loss of the chosen answer."""


def arguments(options: OrpoOptions) -> dict[str, JsonValue]:
    """TRL takes the compiled pairs as they are."""
    return {
        "beta": options.beta,
        "disable_dropout": True,
        "logging_nan_inf_filter": False,
        "remove_unused_columns": False,
    }


OBJECTIVE = Objective(
    name="orpo",
    title="odds-ratio preference optimisation",
    shapes=PREFERENCE,
    trainer="trl.experimental.orpo:ORPOTrainer",
    config="trl.experimental.orpo:ORPOConfig",
    options=OrpoOptions,
    arguments=arguments,
    owned=ALONE | {"beta": "train.objective.beta"},
    members=("chosen", "rejected"),
    implied=False,
    train_on="last_assistant",
    batches="pairs_apart",
    metrics=("preference_accuracy", "loss"),
    epochs=1.0,
    epochs_reason="one pass over preferences is usual; more of them overfit",
    rate=0.1,
    rate_reason="a tenth of it, between what answers and what preferences need",
)
