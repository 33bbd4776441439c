"""Whether an order within a query leaves ties: what its expressions are, and what is known to be unique."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ftc.facts import sql_tree
from ftc.facts.sql_tree import Node

TUPLES = ("row", "struct_pack", "list_value")
"""Functions that put values together and keep them apart."""

Sources = Mapping[str, Sequence[str]]
"""The columns of the declared sources, all names in lower case."""


@dataclass(frozen=True)
class Tie:
    """What the data may rule out: rows of a query that agree in `by` and differ in `values`.

    Any two rows count as different where `values` is None. Rows are those of FROM and WHERE, or with
    `grouped` those that GROUP BY makes of them.
    """

    node: Node
    by: tuple[Node, ...]
    values: tuple[Node, ...] | None
    grouped: bool = False


def canonical(expression: object) -> str:
    """An expression without its place and alias; columns by their names alone, without case."""
    return json.dumps(_bare(expression), sort_keys=True)


def _bare(value: object) -> object:
    if isinstance(value, list):
        return [_bare(item) for item in value]
    if not isinstance(value, dict):
        return value
    name = column_name(value)
    if name is not None:
        return {"column": name}
    skipped = ("alias", "query_location", "query_location_length", "qualified_name")
    return {key: _bare(item) for key, item in value.items() if key not in skipped}


def column_name(expression: Node) -> str | None:
    """The name of a column in lower case, without its table; None for other expressions."""
    names = expression.get("column_names") if expression.get("class") == "COLUMN_REF" else None
    return str(names[-1]).casefold() if names else None


def constant(expression: Node) -> bool:
    """Whether an expression is the same for every row."""
    return expression.get("class") in ("CONSTANT", "PARAMETER")


def parts(expressions: Iterable[Node]) -> Iterator[Node]:
    """Expressions, and what stands in those that put several values together."""
    for expression in expressions:
        yield expression
        if str(expression.get("function_name", "")).casefold() in TUPLES:
            yield from parts(sql_tree.arguments(expression))


def known(expressions: Iterable[Node]) -> frozenset[str]:
    """Expressions and their parts, to compare others with."""
    return frozenset(canonical(part) for part in parts(expressions))


class Scope:
    """One query: what its expressions mean, and which of them tell its rows apart.

    `shadowed` are names that WITH gives to something else, `aggregates` the names of aggregate functions.
    """

    def __init__(
        self, node: Node, sources: Sources, shadowed: frozenset[str], aggregates: frozenset[str]
    ) -> None:
        self.node, self._sources = node, sources
        self._shadowed, self._aggregates = shadowed, aggregates

    @cached_property
    def selected(self) -> list[Node]:
        """The select list; of a set operation that of its first part."""
        node = self.node
        while node.get("type") == "SET_OPERATION_NODE" and node.get("children"):
            node = node["children"][0]
        return list(node.get("select_list") or [])

    @cached_property
    def _tables(self) -> list[Node] | None:
        """The sources that are read, each a table of its own; None where something else is read."""
        waiting, found = [self.node.get("from_table") or {}], []
        while waiting:
            table = waiting.pop()
            if table.get("type") == "JOIN":
                waiting += [table["left"], table["right"]]
            elif table.get("type") == "BASE_TABLE" and self._is_source(table):
                found.append(table)
            else:
                return None
        return found

    def _is_source(self, table: Node) -> bool:
        name = str(table["table_name"]).casefold()
        return name in self._sources and name not in self._shadowed and not table.get("sample")

    @cached_property
    def _columns(self) -> frozenset[str]:
        """The columns of the one source that is read, if there is no other."""
        tables = self._tables or []
        return frozenset(self._sources[str(tables[0]["table_name"]).casefold()] if len(tables) == 1 else ())

    @property
    def key(self) -> str:
        """What may stand at the end of an order to leave no ties."""
        tables = self._tables or []
        if len(tables) == 1:
            return "rowid"
        return ", ".join(f"{_called(table)}.rowid" for table in reversed(tables)) or "KEY"

    def meant(self, expression: Node) -> Node:
        """What an expression of ORDER BY or GROUP BY stands for: a position, a name of the select list."""
        literal = expression.get("literal") or {}
        if expression.get("class") == "CONSTANT" and literal.get("kind") == "INTEGER":
            place = int(literal["text"]) - 1
            return self.selected[place] if 0 <= place < len(self.selected) else expression
        name = column_name(expression)
        if name is not None and len(expression["column_names"]) == 1 and name not in self._columns:
            named = [item for item in self.selected if str(item.get("alias") or "").casefold() == name]
            return named[0] if named else expression
        return expression

    @cached_property
    def groups(self) -> list[Node]:
        """What the rows are grouped by; of GROUP BY ALL what of the select list is no aggregate."""
        if self.node.get("aggregate_handling") == "FORCE_AGGREGATES":
            return [item for item in self.selected if not self.is_aggregate(item)]
        return [self.meant(expression) for expression in self.node.get("group_expressions") or []]

    @property
    def grouped(self) -> bool:
        """Whether GROUP BY makes the rows."""
        return bool(self.groups)

    @property
    def one_row(self) -> bool:
        """Whether aggregates make one row of all."""
        return not self.grouped and any(self.is_aggregate(item) for item in self.selected)

    def is_aggregate(self, item: Node) -> bool:
        """Whether an aggregate is called in an expression of this query itself."""
        calls = [item, *(call for call, _ in sql_tree.own_calls(item))]
        names = (str(c.get("function_name", "")).casefold() for c in calls if c.get("class") == "FUNCTION")
        return any(name in self._aggregates for name in names)

    def tells_rows_apart(self, expressions: Sequence[Node]) -> bool:
        """Whether rows of what is read, before any grouping, that agree in these are the same."""
        tables = self._tables
        if tables is None:
            return False
        found = list(parts(expressions))
        if all(any(_is_row_number(part, table, len(tables)) for part in found) for table in tables):
            return True
        names = {name for part in found if (name := column_name(part)) is not None}
        return bool(self._columns) and self._columns <= names

    def tells_output_apart(self, expressions: Sequence[Node]) -> bool:
        """Whether rows of the result that agree in these are the same, as far as the shape tells."""
        if any(expression.get("class") == "STAR" for expression in expressions):
            return True
        if not self.grouped and self.node.get("type") == "SELECT_NODE" and self.tells_rows_apart(expressions):
            return True
        found = known(expressions)
        if self.grouped and all(canonical(group) in found for group in self.groups):
            return True
        plain = bool(self.selected) and all(item.get("class") != "STAR" for item in self.selected)
        return plain and all(canonical(item) in found or constant(item) for item in self.selected)


def _called(table: Node) -> str:
    return str(table.get("alias") or table["table_name"])


def _is_row_number(expression: Node, table: Node, tables: int) -> bool:
    if column_name(expression) != "rowid":
        return False
    owner = [str(name).casefold() for name in expression["column_names"][:-1]]
    return owner[-1:] == [_called(table).casefold()] or (not owner and tables == 1)
