"""Tables of the recipe whose keys depend on what one of them names: [tune] and `train.objective`.

The type of a form is imported and built when a recipe names it, as most recipes name one of each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import TypeAdapter
from pydantic_core import core_schema

from ftc import objectives, tuning
from ftc.recipe.base import Table

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler

TUNE_DEFAULT = "lora"
ITS_NAME = "its name"


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


def all_forms(path: tuple[str, ...]) -> tuple[type[Table], ...]:
    """The types of every form of the table at a path; none where a table has one form."""
    forms = FORMS.get(path)
    return tuple(map(forms.options, forms.names)) if forms else ()


def _tune_method(value: Any) -> Any:
    method = value.get("method", TUNE_DEFAULT) if isinstance(value, dict) else getattr(value, "method", None)
    return method if isinstance(method, str) else None


def _objective_kind(value: Any) -> Any:
    if isinstance(value, (dict, objectives.Options)):
        name = value.get("name") if isinstance(value, dict) else value.name
        return name if isinstance(name, str) else None
    return ITS_NAME


@dataclass(frozen=True)
class _OneOf:
    """A tagged union of forms, each loaded when `tag` finds it; of all of them for the JSON Schema."""

    forms: Forms
    tag: Callable[[Any], Any]
    named: bool = False
    """Whether the name alone, which the annotated type describes, may stand for the table."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        choices: dict[Any, core_schema.CoreSchema] = {ITS_NAME: handler(source)} if self.named else {}
        for name in self.forms.names:
            choices[name] = core_schema.no_info_plain_validator_function(partial(self._made, name))
        return core_schema.tagged_union_schema(choices, self.tag)

    def _made(self, name: str, value: Any) -> Table:
        return self.forms.options(name).model_validate(value)

    def __get_pydantic_json_schema__(self, union: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        whole = {name: TypeAdapter(self.forms.options(name)).core_schema for name in self.forms.names}
        return handler(union | {"choices": union["choices"] | whole})


if TYPE_CHECKING:
    Tune = tuning.base.Options
    Objective = objectives.Options | Literal["sft"]
else:
    Tune = Annotated[Any, _OneOf(FORMS["tune",], _tune_method)]
    Objective = Annotated[
        Literal[tuple(objectives.OBJECTIVES)],
        _OneOf(FORMS["train", "objective"], _objective_kind, named=True),
    ]
