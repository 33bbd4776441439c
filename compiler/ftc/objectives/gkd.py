"""Generalised knowledge distillation: a student follows a teacher's probabilities (Agarwal et al., 2024)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from ftc.objectives.base import Loaded, Objective, Options, Shape
from ftc.objectives.sft import OWNED
from ftc.objectives.sft import arguments as sft_arguments
from ftc.recipe.base import Text

Part = Annotated[float, Field(ge=0, le=1)]


class GkdOptions(Options):
    """`train.objective` with `name = "gkd"`."""

    name: Literal["gkd"]
    """Follow the probabilities that a larger model gives each token of an answer."""

    teacher: Text
    """The model that is followed, named as `model.base` is; its vocabulary must be the same."""

    revision: Text | None = None
    """Commit, tag or branch of the teacher on the hub."""

    on_policy: Part = 0.5
    """Part of the micro-batches whose answers the student itself samples, instead of those of the rows."""

    beta: Part = 0.5
    """0 is the divergence from the teacher to the student, 1 the reverse, between them a mixture."""

    temperature: Annotated[float, Field(gt=0)] = 0.9
    """Temperature of sampled answers, and of the probabilities that are compared."""

    max_new_tokens: Annotated[int, Field(ge=1)] = 128
    """Longest sampled answer, in tokens."""


def arguments(options: GkdOptions) -> dict[str, JsonValue]:
    """TRL takes the compiled rows as they are."""
    return sft_arguments(options) | {
        "beta": options.beta,
        "disable_dropout": True,
        "lmbda": options.on_policy,
        "max_new_tokens": options.max_new_tokens,
        "seq_kd": False,
        "temperature": options.temperature,
    }


OBJECTIVE = Objective(
    name="gkd",
    title="distillation",
    shapes=(
        Shape(columns=("messages",), identity=("messages",), chat=True),
        Shape(columns=("prompt", "completion"), identity=("prompt",), chat=False),
    ),
    trainer="trl.experimental.gkd:GKDTrainer",
    config="trl.experimental.gkd:GKDConfig",
    options=GkdOptions,
    arguments=arguments,
    owned=OWNED
    | {
        "beta": "train.objective.beta",
        "disable_dropout": "",
        "lmbda": "train.objective.on_policy",
        "max_new_tokens": "train.objective.max_new_tokens",
        "seq_kd": "",
        "teacher_model_init_kwargs": "model.dtype",
        "teacher_model_name_or_path": "train.objective.teacher",
        "temperature": "train.objective.temperature",
    },
    implied=False,
    train_on="last_assistant",
    loads=Loaded(teacher=True),
    batches="followed",
    rate=0.5,
    rate_reason="sampled answers make the signal noisier than that of rows alone",
)
