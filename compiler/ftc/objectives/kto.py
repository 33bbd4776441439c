"""Kahneman-Tversky optimisation: answers that are good or bad, each on its own (Ethayarajh, 2024)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from ftc.objectives.base import Loaded, Objective, Options, Shape
from ftc.objectives.dpo import OWNED

LACKING = ("padding_free", "truncation_mode")
"""Fields for pairs that TRL's KTOConfig does not have."""

TRUTH = {"label": ("BOOLEAN",)}


class KtoOptions(Options):
    """`train.objective` with `name = "kto"`."""

    name: Literal["kto"]
    """Make answers labelled true likelier and others less likely, held to the model as it was."""

    loss: Literal["kto", "apo_zero_unpaired"] = "kto"
    """The loss; `kto` estimates the model's drift from other answers of the micro-batch."""

    beta: Annotated[float, Field(gt=0)] = 0.1
    """How closely the model is held to what it was: the larger, the closer."""

    desirable: Annotated[float, Field(gt=0)] = 1.0
    """Weight of the answers labelled true."""

    undesirable: Annotated[float, Field(gt=0)] = 1.0
    """Weight of the answers labelled false."""


def arguments(options: KtoOptions) -> dict[str, JsonValue]:
    """TRL wants rows in a fixed order for its estimate of the drift; ftc shuffles them before."""
    return {
        "beta": options.beta,
        "desirable_weight": options.desirable,
        "disable_dropout": True,
        "logging_nan_inf_filter": False,
        "loss_type": options.loss,
        "max_length": None,
        "remove_unused_columns": False,
        "train_sampling_strategy": "sequential",
        "undesirable_weight": options.undesirable,
    }


OBJECTIVE = Objective(
    name="kto",
    title="Kahneman-Tversky optimisation",
    shapes=(
        Shape(("prompt", "completion", "label"), identity=("prompt",), chat=False, types=TRUTH),
        Shape(("messages", "label"), identity=("messages",), chat=True, types=TRUTH),
    ),
    trainer="trl:KTOTrainer",
    config="trl:KTOConfig",
    options=KtoOptions,
    arguments=arguments,
    owned={field: key for field, key in OWNED.items() if field not in LACKING}
    | {
        "beta": "train.objective.beta",
        "desirable_weight": "train.objective.desirable",
        "loss_type": "train.objective.loss",
        "train_sampling_strategy": "seed",
        "undesirable_weight": "train.objective.undesirable",
    },
    carried=("label",),
    train_on="last_assistant",
    loads=Loaded(reference=True),
    batches="labelled",
    metrics=("loss",),
    epochs=1.0,
    epochs_reason="one pass over judged answers is usual; more of them overfit",
    rate=0.05,
    rate_reason="preference losses need a twentieth of it; TRL's default for full fine-tuning is as low",
)
