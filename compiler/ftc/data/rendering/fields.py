"""The fields of a row: its own columns, or what the recipe's templates make of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ftc.data.rendering.conversation import invalid
from ftc.recipe.templates import jinja_environment

if TYPE_CHECKING:
    from jinja2 import Template

Row = Mapping[str, Any]


class _NullPrintedError(ValueError):
    pass


def _not_null(value: Any) -> Any:
    if value is None:
        raise _NullPrintedError("it prints a null; write a default, such as {{ column or '' }}")
    return value


def field_of(name: str, source: str | None) -> Callable[[Row], Any]:
    """What makes the field of a row: its column of that name, or the template `source`.

    The function raises `Refused` where the template fails on a row.
    """
    if source is None:
        return lambda row: row[name]
    environment = jinja_environment()
    environment.finalize = _not_null
    template = environment.from_string(source)
    return lambda row: _filled(name, template, row)


def _filled(name: str, template: Template, row: Row) -> str:
    from jinja2 import TemplateError

    try:
        return template.render(row)
    except _NullPrintedError as error:
        raise invalid(f"the template of `{name}` fails: {error}", "FTC604") from error
    except (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise invalid(f"the template of `{name}` fails: {error}", "FTC304") from error
