"""The parameters of a query: `$NAME` in its SQL, bound to the values that the recipe gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ftc.facts import sql_tree
from ftc.facts.sql_problems import SourceNames, SqlProblem, Text
from ftc.facts.sql_tree import Node
from ftc.recipe.suggest import closest, listed

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Value = bool | int | float | str


def asked(tree: Node) -> tuple[str, ...]:
    """The names of the parameters that a query asks for, without those that are positions."""
    names = (str(node["identifier"]) for node in sql_tree.parameters(tree))
    return tuple(dict.fromkeys(name for name in names if not name.isdigit()))


def bound(con: DuckDBPyConnection, sql: str, given: Mapping[str, Value]) -> dict[str, Value | None]:
    """The values to bind in a statement, those that are not given as NULL; names are without case.

    Raises duckdb.Error where the statement does not parse.
    """
    values = {name.casefold(): value for name, value in given.items()}
    statements = con.extract_statements(sql)
    names = sorted(name for statement in statements for name in statement.named_parameters)
    return {name: values.get(name.casefold()) for name in names}


def problems(tree: Node, text: Text, names: SourceNames) -> Iterator[SqlProblem]:
    """Parameters that the recipe does not give, and positions, which it cannot give."""
    given = {name.casefold() for name in names.parameters}
    for node in sql_tree.parameters(tree):
        name = str(node["identifier"])
        start, end = text.of(node)
        if name.isdigit():
            message, help_ = "a parameter needs a name here", ("write $NAME, and give it in data.parameters",)
            yield SqlProblem(code="FTC218", message=message, start=start, end=end, help=help_)
        elif name.casefold() not in given:
            yield _not_given(name, start, end, names)


def _not_given(name: str, start: int, end: int, names: SourceNames) -> SqlProblem:
    near = closest(name, names.parameters)
    help_ = tuple(f"did you mean `${other}`?" for other in near)
    return SqlProblem(
        code="FTC218",
        message=f"the recipe gives no parameter `{name}`",
        start=start,
        end=end,
        help=help_ or (f"give it in [data]: parameters.{name} = …",),
        notes=(f"given in [data.parameters]: {listed(names.parameters)}",) if names.parameters else (),
        name=name,
        meant="".join(near),
    )
