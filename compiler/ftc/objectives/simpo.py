"""Simple preference optimisation: mean log-probabilities with a margin, no reference (Meng et al., 2024)."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from ftc.objectives import cpo
from ftc.objectives.base import Options


class SimpoOptions(Options):
    """`train.objective` with `name = "simpo"`."""

    name: Literal["simpo"]
    """Make the chosen answer likelier per token than the rejected one by a margin; needs no reference."""

    beta: Annotated[float, Field(gt=0)] = 2.0
    """How steeply the loss tells the two answers apart."""

    margin: Annotated[float, Field(ge=0)] = 1.0
    """By how much the chosen answer is to be ahead, in units of `beta` times a mean log-probability."""

    sft: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the loss of the chosen answer itself."""


def arguments(options: SimpoOptions) -> dict[str, JsonValue]:
    """TRL's CPO trainer has the loss; it takes the compiled pairs as they are."""
    return {
        "beta": options.beta,
        "cpo_alpha": options.sft,
        "disable_dropout": True,
        "logging_nan_inf_filter": False,
        "loss_type": "simpo",
        "remove_unused_columns": False,
        "simpo_gamma": options.margin,
    }


OBJECTIVE = replace(
    cpo.OBJECTIVE,
    name="simpo",
    title="simple preference optimisation",
    options=SimpoOptions,
    arguments=arguments,
    owned=cpo.OWNED | {"label_smoothing": "", "loss_type": "", "simpo_gamma": "train.objective.margin"},
)
