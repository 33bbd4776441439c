"""The part of the recipe language that says what is measured on the held-out rows."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict

from ftc.recipe.base import Strings, Table


class Eval(Table):
    """`[eval]`: what is measured on the held-out rows, before and after."""

    metrics: (
        Annotated[
            tuple[Literal["loss", "exact_match", "label_accuracy"], ...],
            Strict(strict=False),
            Field(min_length=1),
        ]
        | None
    ) = None
    """Loss, exact match of the generated answer, accuracy among the labels alone."""

    labels: Strings | None = None
    """The closed set of answers; those of the training rows unless given."""

    max_new_tokens: Annotated[int, Field(ge=1)] | None = None
    """Longest answer that is generated, in tokens."""

    batch: Annotated[int, Field(ge=1)] = 32
    """Rows evaluated at a time."""
