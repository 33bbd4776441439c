"""The two bases of everything typed in ftc, frozen values and tables of the recipe, and plain types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, Strict

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic_core.core_schema import CoreSchema

Strings = Annotated[tuple[str, ...], Strict(strict=False), Field(min_length=1)]
Text = Annotated[str, Field(min_length=1)]


class Frozen(BaseModel):
    """An immutable value, validated when made and compared by content."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


class Table(BaseModel):
    """A table of the recipe: immutable, and no key is accepted that it does not declare.

    What stands below a key in the source describes it in the JSON Schema; it is read only for that, as
    reading it takes longer than checking a recipe. A table is built when something is first validated as it:
    as a part of the recipe it is built with that, and never on its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        schema = handler(core_schema)
        keys = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in descriptions(cls).items():
            if name in keys:
                keys[name]["description"] = text
        return schema


def left_out() -> Any:
    """The default of a table inside of another: what an empty one is, made by the types of that other one."""
    return Field(default_factory=dict, validate_default=True)


def descriptions(table: type[Table]) -> dict[str, str]:
    """What is said of each key of a table, by its name, those that it inherits included."""
    found: dict[str, str] = {}
    for one in reversed(table.__mro__):
        if issubclass(one, Table) and one is not Table:
            found |= dict(_described(one))
    return found


def _described(table: type[Table]) -> Iterator[tuple[str, str]]:
    """The keys that a class declares, each with the string below it."""
    import ast
    from inspect import cleandoc, getsource
    from itertools import pairwise
    from textwrap import dedent

    body = ast.parse(dedent(getsource(table))).body[0]
    assert isinstance(body, ast.ClassDef)  # noqa: S101 - it is the source of a class
    for one, below in pairwise(body.body):
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
            text = below.value if isinstance(below, ast.Expr) else None
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                yield one.target.id, cleandoc(text.value)


def auto_or_number(value: Any) -> str:
    """Which form a setting has that is `auto` or a number."""
    return "auto" if _is_auto(value) else "number"


def auto_or_flag(value: Any) -> str:
    """Which form a setting has that is `auto` or a truth value."""
    return "auto" if _is_auto(value) else "flag"


def _is_auto(value: Any) -> bool:
    """Whether a text means `auto`, perhaps misspelt, and not a number or truth value in quotes."""
    return isinstance(value, str) and value[:1].casefold() == "a"
