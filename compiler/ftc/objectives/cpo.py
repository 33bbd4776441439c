"""Contrastive preference optimisation: preferences without a reference model (Xu et al., 2024)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from ftc.objectives.base import Objective, Options
from ftc.objectives.dpo import PREFERENCE
from ftc.objectives.orpo import ALONE


class CpoOptions(Options):
    """`train.objective` with `name = "cpo"`."""

    name: Literal["cpo"]
    """Make the chosen of two answers likelier than the rejected one, and learn it; needs no reference."""

    loss: Literal["sigmoid", "hinge", "ipo"] = "sigmoid"
    """The loss of the difference between the two answers."""

    beta: Annotated[float, Field(gt=0)] = 0.1
    """How steeply the loss tells the two answers apart."""

    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """The part of the pairs whose answers may be the wrong way round (`sigmoid`)."""

    sft: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the loss of the chosen answer itself."""


def arguments(options: CpoOptions) -> dict[str, JsonValue]:
    """TRL takes the compiled pairs as they are."""
    return {
        "beta": options.beta,
        "cpo_alpha": options.sft,
        "disable_dropout": True,
        "label_smoothing": options.label_smoothing,
        "logging_nan_inf_filter": False,
        "loss_type": options.loss,
        "remove_unused_columns": False,
    }


OWNED = ALONE | {
    "alpha": "",
    "beta": "train.objective.beta",
    "cpo_alpha": "train.objective.sft",
    "label_smoothing": "train.objective.label_smoothing",
    "loss_type": "train.objective.loss",
    "simpo_gamma": "",
}

OBJECTIVE = Objective(
    name="cpo",
    title="contrastive preference optimisation",
    shapes=PREFERENCE,
    trainer="trl.experimental.cpo:CPOTrainer",
    config="trl.experimental.cpo:CPOConfig",
    options=CpoOptions,
    arguments=arguments,
    owned=OWNED,
    members=("chosen", "rejected"),
    implied=False,
    train_on="last_assistant",
    batches="pairs_apart",
    metrics=("preference_accuracy", "loss"),
    epochs=1.0,
    epochs_reason="one pass over preferences is usual; more of them overfit",
    rate=0.05,
    rate_reason="preference losses need a twentieth of it; TRL's default for full fine-tuning is as low",
)
