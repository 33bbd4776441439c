"""Direct preference optimisation: the chosen of two answers grows likelier (Rafailov et al., 2023)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from ftc.objectives.base import Loaded, Objective, Options, Shape

PREFERENCE = (
    Shape(columns=("prompt", "chosen", "rejected"), identity=("prompt",), chat=False),
    Shape(columns=("chosen", "rejected"), identity=("chosen",), chat=False),
)
"""A prompt and two answers, or two conversations that begin alike."""

OWNED = {
    "dataset_num_proc": "",
    "disable_dropout": "",
    "logging_nan_inf_filter": "",
    "max_length": "data.max_length",
    "model_init_kwargs": "model.dtype",
    "pad_to_multiple_of": "",
    "padding_free": "",
    "precompute_ref_batch_size": "",
    "precompute_ref_log_probs": "",
    "remove_unused_columns": "",
    "truncation_mode": "data.too_long",
}
"""Fields which the compiled rows decide, in every config that takes two answers."""


class DpoOptions(Options):
    """`train.objective` with `name = "dpo"`."""

    name: Literal["dpo"]
    """Make the chosen of two answers likelier than the rejected one, held to the model as it was."""

    loss: Literal[
        "sigmoid",
        "sigmoid_norm",
        "hinge",
        "ipo",
        "robust",
        "exo_pair",
        "nca_pair",
        "bco_pair",
        "sppo_hard",
        "aot",
        "aot_unpaired",
        "apo_zero",
        "apo_down",
        "discopop",
    ] = "sigmoid"
    """The loss of the difference between the two answers; `sigmoid_norm` divides by their lengths."""

    beta: Annotated[float, Field(gt=0)] = 0.1
    """How closely the model is held to what it was: the larger, the closer."""

    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """The part of the pairs whose answers may be the wrong way round (`sigmoid`, `robust`, `exo_pair`)."""

    sft: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the loss of the chosen answer itself, added to that of the pair."""


def arguments(options: DpoOptions) -> dict[str, JsonValue]:
    """TRL takes the compiled pairs as they are; dropout is off in both models, so that they compare."""
    losses: list[JsonValue] = [options.loss, *(["sft"] if options.sft else [])]
    found: dict[str, JsonValue] = {
        "beta": options.beta,
        "disable_dropout": True,
        "label_smoothing": options.label_smoothing,
        "logging_nan_inf_filter": False,
        "loss_type": losses,
        "max_length": None,
        "remove_unused_columns": False,
    }
    return found | ({"loss_weights": [1.0, options.sft]} if options.sft else {})


OBJECTIVE = Objective(
    name="dpo",
    title="direct preference optimisation",
    shapes=PREFERENCE,
    trainer="trl:DPOTrainer",
    config="trl:DPOConfig",
    options=DpoOptions,
    arguments=arguments,
    owned=OWNED
    | {
        "beta": "train.objective.beta",
        "label_smoothing": "train.objective.label_smoothing",
        "loss_type": "train.objective.loss",
        "loss_weights": "train.objective.sft",
    },
    members=("chosen", "rejected"),
    train_on="last_assistant",
    loads=Loaded(reference=True),
    batches="pairs",
    metrics=("preference_accuracy", "loss"),
    epochs=1.0,
    epochs_reason="one pass over preferences is usual; more of them overfit",
    rate=0.05,
    rate_reason="preference losses need a twentieth of it; TRL's default for full fine-tuning is as low",
)
