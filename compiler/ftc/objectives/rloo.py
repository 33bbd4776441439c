"""REINFORCE leave-one-out: each sampled answer against the mean of the others (Ahmadian et al., 2024)."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from ftc.objectives import grpo


class RlooOptions(grpo.SampledOptions):
    """`train.objective` with `name = "rloo"`."""

    name: Literal["rloo"]
    """Sample several answers to each prompt, and weigh each by what it is worth beyond the others' mean."""

    generations: Annotated[int, Field(ge=2)] = 4
    """Answers that are sampled for each prompt."""

    beta: Annotated[float, Field(ge=0)] = 0.05
    """Weight of the distance to the model as it was; 0 needs no reference."""


def arguments(options: RlooOptions) -> dict[str, JsonValue]:
    """TRL's options of the loss."""
    return grpo.sampled(options) | {"beta": options.beta}


OBJECTIVE = replace(
    grpo.OBJECTIVE,
    name="rloo",
    title="REINFORCE leave-one-out",
    trainer="trl:RLOOTrainer",
    config="trl:RLOOConfig",
    options=RlooOptions,
    arguments=arguments,
    owned=grpo.OWNED,
)
