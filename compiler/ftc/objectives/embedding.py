"""Embeddings: texts that belong together come to lie close, others apart (Reimers and Gurevych, 2019)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from ftc.objectives.base import Loaded, Objective, Options, Shape


class EmbeddingOptions(Options):
    """`train.objective` with `name = "embedding"`."""

    name: Literal["embedding"]
    """Bring each anchor close to its positive, and away from others."""

    loss: Literal["in_batch", "triplet", "contrastive"] = "in_batch"
    """`in_batch`: all other texts of the micro-batch are wrong; the two others compare with `negative`."""

    pooling: Literal["mean", "last", "cls"] | None = None
    """What of the tokens' vectors stands for the text, where the base is no directory that says so itself."""

    scale: Annotated[float, Field(gt=0)] = 20.0
    """What the cosine similarities are multiplied by (`in_batch`): the inverse of a temperature."""

    margin: Annotated[float, Field(gt=0, le=2)] = 0.5
    """How much farther the negative has to be, in cosine distance (`triplet`, `contrastive`)."""


def arguments(options: EmbeddingOptions) -> dict[str, JsonValue]:
    """The trainer takes the compiled texts as they are."""
    del options
    return {
        "batch_sampler": "batch_sampler",
        "logging_nan_inf_filter": False,
        "remove_unused_columns": False,
    }


OBJECTIVE = Objective(
    name="embedding",
    title="embedding",
    shapes=(
        Shape(("anchor", "positive", "negative"), identity=("anchor",), chat=False),
        Shape(("anchor", "positive"), identity=("anchor",), chat=False),
    ),
    trainer="sentence_transformers:SentenceTransformerTrainer",
    config="sentence_transformers:SentenceTransformerTrainingArguments",
    options=EmbeddingOptions,
    arguments=arguments,
    owned={
        "batch_sampler": "",
        "logging_nan_inf_filter": "",
        "multi_dataset_batch_sampler": "",
        "prompts": "",
        "remove_unused_columns": "",
        "router_mapping": "",
        "train_sampling_strategy": "seed",
    },
    members=("anchor", "positive", "negative"),
    closed=True,
    train_on="nothing",
    loads=Loaded(head="embedding"),
    batches="members",
    metrics=("mrr", "recall", "ndcg"),
    epochs=1.0,
    epochs_reason="one pass is usual for embeddings",
    rate_reason="",
)
