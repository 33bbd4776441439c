"""What the recipe's [card] says, read from the text of the recipe that stands in the run."""

from __future__ import annotations

import tomllib

from ftc.recipe.card import Card


def stated(recipe_text: str) -> Card:
    """The [card] of a resolved recipe; an empty one where it has none."""
    return Card.model_validate(tomllib.loads(recipe_text).get("card", {}))
