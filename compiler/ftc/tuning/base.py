"""What a tuning method declares: its options in the recipe, and how they become a step of the plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ftc.plan.steps import TuneStep
from ftc.recipe.base import Table


class Options(Table):
    """The recipe's `[tune]` table under some method."""

    method: str


@dataclass(frozen=True, slots=True)
class Method:
    """A row of the methods' table.

    `options` is the type of the recipe's `[tune]` table under this method; `lower` resolves it to the
    step; `learning_rate` is the default, with the reason that the plan prints.
    """

    name: str
    title: str
    options: type[Options]
    lower: Callable[[Any], TuneStep]
    learning_rate: float
    learning_rate_reason: str
