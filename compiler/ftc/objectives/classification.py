"""A classifier: which of a closed set of classes a text belongs to, read off its last token."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from ftc.objectives.base import Loaded, Objective, Options, Shape

LABEL = {
    "label": ("VARCHAR", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"),
}
"""What a class may be: a text, or a whole number."""


class ClassificationOptions(Options):
    """`train.objective` with `name = "classification"`."""

    name: Literal["classification"]
    """Learn which class a text belongs to, by a new head on the base; the rows' labels are the classes."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The part of each label's weight that is spread over all classes."""


def arguments(options: ClassificationOptions) -> dict[str, JsonValue]:
    """The trainer takes the compiled rows as they are; the loss is ftc's own (`runtime/classes.py`)."""
    del options
    return {"logging_nan_inf_filter": False, "remove_unused_columns": False}


OBJECTIVE = Objective(
    name="classification",
    title="classification",
    shapes=(
        Shape(("messages", "label"), identity=("messages",), chat=True, types=LABEL),
        Shape(("prompt", "label"), identity=("prompt",), chat=False, types=LABEL),
        Shape(("text", "label"), identity=("text",), chat=False, types=LABEL),
    ),
    trainer="transformers:Trainer",
    config="transformers:TrainingArguments",
    options=ClassificationOptions,
    arguments=arguments,
    owned={
        "label_smoothing_factor": "train.objective.label_smoothing",
        "logging_nan_inf_filter": "",
        "remove_unused_columns": "",
        "train_sampling_strategy": "seed",
    },
    carried=("label",),
    closed=True,
    implied=False,
    train_on="nothing",
    loads=Loaded(head="classes"),
    batches="classes",
    metrics=("label_accuracy", "loss"),
    rate=0.5,
    rate_reason="half of it, as the head is new and its first gradients are large",
)
