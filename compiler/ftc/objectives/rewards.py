"""Rewards in the recipe: metrics of `ftc.evaluation`, and functions of the user's own, each with a weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Field, Strict, Tag

from ftc.evaluation import METRICS
from ftc.evaluation.settings import MetricSettings
from ftc.recipe.base import Table, Text


def answered() -> tuple[str, ...]:
    """The metrics that score one answer on its own, and so can be a reward."""
    return tuple(name for name in METRICS if name not in UNFIT)


UNFIT = (
    "loss", "perplexity", "label_accuracy", "choice_accuracy", "bleu", "preference_accuracy", "judge", "mrr",
    "recall", "ndcg",
)  # fmt: skip
"""Metrics that need more than one answer, or another model."""

if TYPE_CHECKING:
    RewardName = str
else:
    RewardName = Literal[answered()]


class _Worth(Table):
    """What a reward says beside the options of its metric."""

    metric: RewardName | None = None
    """The metric whose score is the reward, by its name."""

    python: Text | None = None
    """`rewards.py:function` beside the recipe, which takes some of prompt, answer, reference and columns."""

    recipe: Text | None = None
    """Recipe beside this one whose reward model scores the answers; it is built first."""

    weight: Annotated[float, Field(allow_inf_nan=False)] = 1.0
    """What the score is multiplied by before rewards are added up."""


class Reward(MetricSettings, _Worth):
    """`{ metric = "regex", pattern = "…", weight = 0.5 }`: a reward with options of its own."""


def _kind(value: Any) -> str:
    return "table" if isinstance(value, (dict, Reward)) else "name"


Entry = Annotated[Annotated[RewardName, Tag("name")] | Annotated[Reward, Tag("table")], Discriminator(_kind)]
Rewards = Annotated[tuple[Entry, ...], Strict(strict=False), Field(min_length=1)]


def as_table(entry: str | Reward) -> Reward:
    """A reward as a table, also where its name alone is given."""
    return Reward(metric=entry) if isinstance(entry, str) else entry


__all__ = ["Reward", "Rewards", "as_table"]
