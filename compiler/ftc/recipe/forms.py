"""Tables of the recipe whose keys depend on what one of them names: [tune] and `train.objective`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Tag

from ftc import objectives, tuning
from ftc.recipe.base import Table

TUNE_DEFAULT = "lora"


@dataclass(frozen=True)
class Forms:
    """The forms of a table: `key` names the one that stands there.

    `default` is the name where it is left out; without one, the name alone may stand for the table.
    """

    key: str
    names: tuple[str, ...]
    options: Callable[[str], type[Table]]
    default: str | None = None


FORMS: dict[tuple[str, ...], Forms] = {
    ("tune",): Forms("method", tuple(tuning.METHODS), lambda name: tuning.load(name).options, TUNE_DEFAULT),
    ("train", "objective"): Forms(
        "name", tuple(objectives.OBJECTIVES), lambda name: objectives.load(name).options
    ),
}


def _tune_method(value: Any) -> Any:
    method = value.get("method", TUNE_DEFAULT) if isinstance(value, dict) else getattr(value, "method", None)
    return method if isinstance(method, str) else None


def _objective_kind(value: Any) -> Any:
    if isinstance(value, (dict, objectives.Options)):
        name = value.get("name") if isinstance(value, dict) else value.name
        return name if isinstance(name, str) else None
    return "its name"


if TYPE_CHECKING:
    Tune = tuning.base.Options
    Objective = objectives.Options | Literal["sft"]
else:
    _methods = [Annotated[tuning.load(name).options, Tag(name)] for name in tuning.METHODS]
    Tune = Annotated[reduce(or_, _methods), Discriminator(_tune_method)]
    _stated = [Annotated[objectives.load(name).options, Tag(name)] for name in objectives.OBJECTIVES]
    _named = Annotated[Literal[tuple(objectives.OBJECTIVES)], Tag("its name")]
    Objective = Annotated[reduce(or_, _stated, _named), Discriminator(_objective_kind)]
