"""Supervised fine-tuning: conversations, or a prompt and its completion."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from ftc.objectives.base import Objective, Options, Shape


class SftOptions(Options):
    """`train.objective` with `name = "sft"`."""

    name: Literal["sft"]
    """Learn the answers of conversations, or the completions of prompts."""


def arguments(_: Options) -> dict[str, JsonValue]:
    """TRL must take the compiled tokens and labels as they are: no packing, cutting or tokenising.

    The loss is the mean over the trained tokens of a whole optimizer step, and one that is not a number
    is seen as such instead of being replaced by the steps before.
    """
    return {
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "logging_nan_inf_filter": False,
        "loss_type": "nll",
        "max_length": None,
        "packing": False,
        "padding_free": False,
        "remove_unused_columns": False,
    }


OWNED = {
    "assistant_only_loss": "render.train_on",
    "chat_template_path": "model.chat_template",
    "completion_only_loss": "render.train_on",
    "dataset_kwargs": "",
    "dataset_num_proc": "",
    "dataset_text_field": "data.query",
    "eos_token": "",
    "eval_packing": "",
    "logging_nan_inf_filter": "",
    "max_length": "data.max_length",
    "packing": "",
    "packing_strategy": "",
    "padding_free": "",
    "remove_unused_columns": "",
    "shuffle_dataset": "seed",
    "truncation_mode": "data.too_long",
}

OBJECTIVE = Objective(
    name="sft",
    title="supervised fine-tuning",
    shapes=(
        Shape(columns=("messages",), identity=("messages",), chat=True),
        Shape(columns=("prompt", "completion"), identity=("prompt",), chat=False),
    ),
    trainer="trl:SFTTrainer",
    config="trl:SFTConfig",
    options=SftOptions,
    arguments=arguments,
    owned=OWNED,
)
