"""The two bases of everything typed in ftc, frozen values and tables of the recipe, and plain types."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, Strict

Strings = Annotated[tuple[str, ...], Strict(strict=False), Field(min_length=1)]
Text = Annotated[str, Field(min_length=1)]


class Frozen(BaseModel):
    """An immutable value, validated when made and compared by content."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


class Table(BaseModel):
    """A table of the recipe: immutable, and no key is accepted that it does not declare."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def auto_or_number(value: Any) -> str:
    """Which form a setting has that is `auto` or a number."""
    return "auto" if _is_auto(value) else "number"


def auto_or_flag(value: Any) -> str:
    """Which form a setting has that is `auto` or a truth value."""
    return "auto" if _is_auto(value) else "flag"


def _is_auto(value: Any) -> bool:
    """Whether a text means `auto`, perhaps misspelt, and not a number or truth value in quotes."""
    return isinstance(value, str) and value[:1].casefold() == "a"
