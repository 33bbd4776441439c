"""The fields of a row: its own columns, or what the recipe's templates make of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined

from ftc.data.rendering.conversation import invalid
from ftc.data.template.chat_template import FAILURES, TemplateProblem, compiled, extent
from ftc.data.template.environment import TemplateEnvironment, generate
from ftc.data.template.limits import Budget, Limits
from ftc.recipe.templates import jinja_environment

if TYPE_CHECKING:
    from jinja2 import Template

Row = Mapping[str, Any]


class _NullPrintedError(ValueError):
    pass


class FieldEnvironment(TemplateEnvironment):
    """The environment of a recipe's templates, with the limits that chat templates have too.

    It has the filters and functions of `jinja_environment`, which is what recipes are checked against. A
    line end at a template's end is kept, where chat templates drop it: what is written there is what is read.
    """

    def __init__(self) -> None:
        kept = {"undefined": StrictUndefined, "finalize": self._printed, "keep_trailing_newline": True}
        super().__init__(Limits(), **kept)
        checked = jinja_environment()
        self.filters["tojson"] = self._guarded("tojson", checked.filters["tojson"])
        for names, known in ((self.filters, checked.filters), (self.globals, checked.globals)):
            for name in [name for name in names if name.isidentifier() and name not in known]:
                del names[name]

    def _printed(self, value: Any) -> Any:
        if value is None:
            raise _NullPrintedError("it prints a null; write a default, such as {{ column or '' }}")
        return self._written(value)


def field_of(name: str, source: str | None) -> Callable[[Row], Any]:
    """What makes the field of a row: its column of that name, or the template `source`.

    The function raises `Refused` where the template fails on a row, or comes to a limit.
    """
    if source is None:
        return lambda row: row[name]
    try:
        template = compiled(FieldEnvironment(), source)
    except TemplateProblem as problem:
        return _failing(name, problem.message)
    return lambda row: _filled(name, template, row)


def _failing(name: str, message: str) -> Callable[[Row], Any]:
    """What makes a field whose template Jinja reads and Python cannot carry out."""

    def fail(_: Row) -> Any:
        raise invalid(f"the template of `{name}` fails: {message}", "FTC304")

    return fail


def _filled(name: str, template: Template, row: Row) -> str:
    try:
        return "".join(generate(template, row, Budget(Limits().given(extent(row), 1))))
    except _NullPrintedError as error:
        raise invalid(f"the template of `{name}` fails: {error}", "FTC604") from error
    except FAILURES as error:
        raise invalid(f"the template of `{name}` fails: {error}", "FTC304") from error
