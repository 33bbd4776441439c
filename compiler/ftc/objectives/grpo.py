"""Group relative policy optimisation: several answers to a prompt, scored against each other (Shao, 2024)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from ftc.objectives.base import Objective, Options, Shape
from ftc.objectives.rewards import Rewards, as_table

PROMPTS = (Shape(columns=("prompt",), identity=("prompt",), chat=False),)

OWNED = {
    "chat_template_kwargs": "render.variables",
    "disable_dropout": "",
    "generation_batch_size": "train.batch",
    "log_completions": "",
    "logging_nan_inf_filter": "",
    "max_completion_length": "train.objective.max_new_tokens",
    "model_init_kwargs": "model.dtype",
    "num_generations": "train.objective.generations",
    "num_generations_eval": "",
    "num_iterations": "",
    "pad_to_multiple_of": "",
    "remove_unused_columns": "",
    "reward_weights": "train.objective.rewards",
    "shuffle_dataset": "seed",
    "steps_per_generation": "train.micro_batch",
    "beta": "train.objective.beta",
    "temperature": "train.objective.temperature",
    "top_p": "train.objective.top_p",
}
"""Fields which the compiled prompts and the rewards decide, of trainers that sample answers."""


class SampledOptions(Options):
    """What objectives have in common that sample answers and score them."""

    rewards: Rewards
    """What an answer is worth: names of metrics, or tables with `metric` or `python` and a weight."""

    generations: Annotated[int, Field(ge=2)] = 8
    """Answers that are sampled for each prompt."""

    max_new_tokens: Annotated[int, Field(ge=1)] = 256
    """Longest answer, in tokens; a longer one is cut there."""

    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Temperature at which answers are sampled."""

    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Answers are sampled from the likeliest tokens that make up this much of the probability."""


class GrpoOptions(SampledOptions):
    """`train.objective` with `name = "grpo"`."""

    name: Literal["grpo"]
    """Sample several answers to each prompt, and make those likelier that are worth more than the others."""

    loss: Literal["dapo", "grpo", "bnpo", "dr_grpo", "cispo", "sapo", "luspo"] = "dapo"
    """How the loss of answers of different lengths is put together."""

    beta: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the distance to the model as it was; 0 needs no reference."""

    scale: Literal["group", "batch", "none"] = "group"
    """By whose standard deviation rewards are divided."""


def sampled(options: SampledOptions) -> dict[str, JsonValue]:
    """What both trainers take: compiled prompts, fresh answers for each step, an order by the seed."""
    return {
        "logging_nan_inf_filter": False,
        "max_completion_length": options.max_new_tokens,
        "num_generations": options.generations,
        "num_iterations": 1,
        "reward_weights": [as_table(entry).weight for entry in options.rewards],
        "remove_unused_columns": False,
        "shuffle_dataset": True,
        "temperature": options.temperature,
        "top_p": options.top_p,
    }


def arguments(options: GrpoOptions) -> dict[str, JsonValue]:
    """TRL's options of the loss."""
    own: dict[str, JsonValue] = {
        "beta": options.beta,
        "loss_type": options.loss,
        "scale_rewards": options.scale,
    }
    return sampled(options) | own


OBJECTIVE = Objective(
    name="grpo",
    title="group relative policy optimisation",
    shapes=PROMPTS,
    trainer="trl:GRPOTrainer",
    config="trl:GRPOConfig",
    options=GrpoOptions,
    arguments=arguments,
    owned=OWNED | {"loss_type": "train.objective.loss", "scale_rewards": "train.objective.scale"},
    implied=False,
    train_on="nothing",
    batches="prompts",
    per_row=lambda options: int(options.generations),
    epochs=1.0,
    epochs_reason="one pass over the prompts is usual",
    rate=0.05,
    rate_reason="rewards are a noisy signal; TRL's default for full fine-tuning is a twentieth of SFT's",
)
