"""`[sweep]`: settings of the recipe that `ftc sweep` tries several values of."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, JsonValue, Strict, Tag

from ftc.recipe.base import Table, Text

BOUNDS = ("low", "high")
Method = Literal["grid", "random", "tpe", "cmaes", "gp", "qmc"]


class SweepRange(Table):
    """`{ low = 1e-5, high = 1e-3, log = true }`: any number between two."""

    low: Annotated[int | float, Field(allow_inf_nan=False)]
    """The least."""

    high: Annotated[int | float, Field(allow_inf_nan=False)]
    """The greatest; where both are whole numbers, only whole numbers are tried."""

    log: bool = False
    """Whether the logarithms are spread evenly, and not the numbers."""

    steps: Annotated[int, Field(ge=2)] | None = None
    """How many numbers between the two a grid tries, both included."""

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are tried."""
        return isinstance(self.low, int) and isinstance(self.high, int)


def _tried_kind(value: Any) -> str:
    return "range" if isinstance(value, (dict, SweepRange)) else "values"


Tried = Annotated[
    Annotated[Annotated[tuple[JsonValue, ...], Strict(strict=False), Field(min_length=1)], Tag("values")]
    | Annotated[SweepRange, Tag("range")],
    Discriminator(_tried_kind),
]


class Sweep(Table):
    """`[sweep]`: which settings are varied, how variants are picked, and by what they are compared."""

    keys: Annotated[dict[str, Tried], Field(min_length=1)]
    """Settings by their keys, each with the values to try, or the range to try."""

    method: Method = "grid"
    """Every combination, random ones, or those which a sampler of Optuna picks by what came of the others."""

    trials: Annotated[int, Field(ge=1)] | None = None
    """How many variants are tried; all of a grid."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of random variants and of samplers."""

    metric: Text = "loss"
    """What variants are compared by, as measured after training: a metric, or SUITE.METRIC."""

    better: Literal["higher", "lower"] | None = None
    """Which way is better; known of every metric that ftc has."""

    prune: bool = False
    """Break off a variant whose held-out loss is above the median of the others at the same step."""
