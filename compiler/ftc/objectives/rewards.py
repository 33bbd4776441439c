"""Rewards in the recipe: metrics of `ftc.evaluation`, and functions of the user's own, each with a weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Field, JsonValue, Strict, Tag

from ftc.evaluation import METRICS
from ftc.recipe.base import Table, Text

OPTIONS = (
    "normalise",
    "pattern",
    "json_schema",
    "form",
    "starts_with",
    "ends_with",
    "unit",
    "at_least",
    "at_most",
    "tolerance",
)
"""Keys of a reward that its metric reads."""


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


class Reward(Table):
    """`{ metric = "regex", pattern = "…", weight = 0.5 }`: a reward with options of its own."""

    metric: RewardName | None = None
    """The metric whose score is the reward, by its name."""

    python: Text | None = None
    """`rewards.py:function` beside the recipe, which takes some of prompt, answer, reference and columns."""

    weight: Annotated[float, Field(allow_inf_nan=False)] = 1.0
    """What the score is multiplied by before rewards are added up."""

    normalise: Literal["none", "strip", "squad"] | None = None
    """How answers and references are made alike before they are compared."""

    pattern: Text | None = None
    """The regular expression of a metric that matches one."""

    json_schema: dict[str, JsonValue] | None = None
    """The JSON Schema that answers must satisfy."""

    form: (
        Literal["json", "fenced", "bullets", "numbered", "one_line", "one_word", "uppercase", "lowercase"]
        | None
    ) = None
    """The form that answers must have."""

    starts_with: Text | None = None
    """What answers must begin with."""

    ends_with: Text | None = None
    """What answers must end with."""

    unit: Literal["tokens", "words", "characters", "lines"] | None = None
    """What the length of an answer is counted in."""

    at_least: Annotated[int, Field(ge=0)] | None = None
    """Shortest answer that is right, in `unit`."""

    at_most: Annotated[int, Field(ge=0)] | None = None
    """Longest answer that is right, in `unit`."""

    tolerance: Annotated[float, Field(ge=0)] | None = None
    """How far a number may be from the reference, as a share of it."""

    @property
    def options(self) -> dict[str, JsonValue]:
        """What the metric reads."""
        return {key: getattr(self, key) for key in OPTIONS if getattr(self, key) is not None}


def _kind(value: Any) -> str:
    return "table" if isinstance(value, (dict, Reward)) else "name"


Entry = Annotated[Annotated[RewardName, Tag("name")] | Annotated[Reward, Tag("table")], Discriminator(_kind)]
Rewards = Annotated[tuple[Entry, ...], Strict(strict=False), Field(min_length=1)]


def as_table(entry: str | Reward) -> Reward:
    """A reward as a table, also where its name alone is given."""
    return Reward(metric=entry) if isinstance(entry, str) else entry


__all__ = ["Reward", "Rewards", "as_table"]
