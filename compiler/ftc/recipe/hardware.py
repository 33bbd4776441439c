"""The part of the recipe language that says which GPU a plan is for, and what the build may take."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ftc.recipe.base import Table, Text


class Hardware(Table):
    """`[hardware]`: the GPU that the plan is for, and what it costs."""

    gpu: Text | None = None
    """A GPU's name, such as `L4` or `H100-80GB-SXM`, or `auto`; this machine's own device unless given."""

    headroom: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Part of the device's memory that is left free."""

    prices: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """US dollars for an hour of one GPU, by the GPU's name, instead of the published prices."""


class Budget(Table):
    """`[budget]`: what the whole build may take; a plan that needs more fails."""

    max_cost: Annotated[float, Field(gt=0)] | None = None
    """US dollars."""

    max_hours: Annotated[float, Field(gt=0)] | None = None
    """Hours."""
