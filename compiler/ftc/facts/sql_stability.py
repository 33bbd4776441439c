"""Shapes of SQL whose result hangs on the order in which rows are met, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftc.facts import sql_parameters, sql_tree
from ftc.facts.sql_aggregates import KEY, OVER, SORTED, Call, verdict
from ftc.facts.sql_order import Scope, Tie, canonical, constant, parts
from ftc.facts.sql_problems import SourceNames, SqlProblem, Text
from ftc.facts.sql_tree import Node

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

CODE = "FTC224"
PEERS = frozenset(("rank", "dense_rank", "rank_dense", "percent_rank", "cume_dist"))
"""Window functions that give the same value to tied rows."""

ONE_BY_ONE = ("row_number", "ntile", "lag", "lead", "first_value", "last_value", "nth_value", "fill")
OF_VALUES = ("first_value", "last_value", "nth_value")
COLUMN = {"class": "COLUMN_REF", "type": "COLUMN_REF", "alias": "", "query_location": 0}
MOST_PROBED = 40
PROBED = re.compile(r"bool_and\((?P<type>.+?), (?P=type), (?P=type)\)'")


@dataclass(frozen=True)
class Unstable:
    """A place in a query whose value is not determined, unless the data rules `tie` out."""

    problem: SqlProblem
    tie: Tie | None = None


def instabilities(
    con: DuckDBPyConnection,
    tree: Node,
    text: Text,
    names: SourceNames,
    *,
    traced: bool = False,
    unique: str | None = None,
) -> tuple[Unstable, ...]:
    """Every place of a query that binds whose value hangs on an order that is not stated.

    Of a traced query the outermost ORDER BY, LIMIT and DISTINCT ON are made total by its row numbers.
    `unique` is the column of the result that identifies its rows.
    """
    outermost = sql_tree.select_node(tree)
    found: list[Unstable] = []
    for node, exists in sql_tree.queries(tree):
        is_first = node is outermost
        looking = _Looking(con, tree, text, names, node)
        if not exists and not (traced and is_first):
            found += looking.modifiers(unique if is_first else None)
        found += [*looking.joins(), *looking.calls()]
    first: dict[tuple[int, int], Unstable] = {}
    for one in sorted(found, key=lambda one: (one.problem.start, one.problem.end)):
        first.setdefault((one.problem.start, one.problem.end), one)
    return tuple(first.values())


class _Looking:
    """At one query of a tree, without those inside it."""

    def __init__(
        self, con: DuckDBPyConnection, tree: Node, text: Text, names: SourceNames, node: Node
    ) -> None:
        self._con, self._tree, self._text, self._names = con, tree, text, names
        self._node = node
        sources = {
            name.casefold(): [column.name.casefold() for column in columns]
            for name, columns in names.sources.items()
        }
        aggregates = frozenset(name for name, kind in names.kinds().items() if kind == "aggregate")
        self._about = sources, sql_tree.with_names(tree), aggregates
        self._scope = Scope(node, *self._about)
        self._probes = 0

    def _unstable(self, place: Node, message: str, instead: str, tie: Tie | None = None) -> Unstable:
        start, end = self._text.of(place)
        help_ = (instead.replace(KEY, self._scope.key).replace(OVER, ""),)
        return Unstable(SqlProblem(code=CODE, message=message, start=start, end=end, help=help_), tie)

    def _said(self, node: Node) -> str:
        """The SQL of an expression, an ellipsis where its brackets cannot be told."""
        places = [self._text.of(inner) for inner in sql_tree.walk(node) if _has_place(inner)]
        if not places:
            return "…"
        said = self._text.sql[min(start for start, _ in places) : max(end for _, end in places)]
        return said if said.count("(") == said.count(")") else "…"

    def _listed(self, nodes: Sequence[Node]) -> str:
        return ", ".join([*dict.fromkeys(map(self._said, nodes)), KEY])

    def _call(self, call: Node, name: str) -> Call:
        return Call(
            name=name,
            arguments=sql_tree.arguments(call),
            orders=sql_tree.call_orders(call),
            distinct=bool(call.get("distinct")),
            said=self._said,
            is_float=lambda: self._is_float(call),
        )

    def _tie(self, by: Sequence[Node], values: Sequence[Node] | None = None, *, grouped: bool = False) -> Tie:
        return Tie(self._node, tuple(by), None if values is None else tuple(values), grouped)

    def modifiers(self, unique: str | None) -> Iterator[Unstable]:
        """ORDER BY with LIMIT, and DISTINCT ON."""
        modifiers = {str(modifier["type"]): modifier for modifier in self._node.get("modifiers") or []}
        ordering = (modifiers.get("ORDER_MODIFIER") or {}).get("orders") or []
        orders = [self._scope.meant(order["expression"]) for order in ordering]
        limit = modifiers.get("LIMIT_MODIFIER")
        if limit is not None and not self._scope.one_row:
            yield from self._limit(limit, orders, unique)
        targets = (modifiers.get("DISTINCT_MODIFIER") or {}).get("distinct_on_targets") or []
        if targets:
            yield from self._distinct_on([self._scope.meant(target) for target in targets], orders)

    def _limit(self, limit: Node, orders: Sequence[Node], unique: str | None) -> Iterator[Unstable]:
        place = limit.get("limit") or limit.get("offset") or {}
        names = {_name(order) for order in parts(orders)}
        if self._scope.tells_output_apart(orders) or (unique is not None and unique in names):
            return
        if (place.get("literal") or {}).get("text") == "0":
            return
        if not orders:
            yield self._unstable(
                place, "LIMIT takes any rows, as no order is stated", f"write order by {KEY} limit …"
            )
            return
        instead = f"end the order with a column that has no ties: order by {self._listed(orders)}"
        is_select = self._node.get("type") == "SELECT_NODE"
        tie = self._tie(orders, grouped=self._scope.grouped) if is_select else None
        yield self._unstable(place, "LIMIT takes any of the rows that tie in ORDER BY", instead, tie)

    def _distinct_on(self, targets: Sequence[Node], orders: Sequence[Node]) -> Iterator[Unstable]:
        every = [*targets, *orders]
        if self._scope.tells_output_apart(every):
            return
        instead = f"order the rows so that none tie: order by {self._listed(every)}"
        tie = self._tie(every, grouped=self._scope.grouped)
        yield self._unstable(targets[0], "DISTINCT ON keeps any of several rows", instead, tie)

    def joins(self) -> Iterator[Unstable]:
        """Joins that pair rows by where they stand, or with one of several."""
        for table in sql_tree.own_joins(self._node):
            if table.get("ref_type") == "POSITIONAL":
                message = "a POSITIONAL JOIN pairs rows by where they happen to stand"
                yield self._unstable(table, message, "join on a key that both sides have")
            elif table.get("ref_type") == "ASOF":
                yield self._asof(table)

    def _asof(self, table: Node) -> Unstable:
        right = table["right"]
        called = str(right.get("alias") or right.get("table_name", "")).casefold()
        compared = [n for n in sql_tree.walk(table.get("condition")) if n.get("class") == "COLUMN_REF"]
        by = [n for n in compared if str(n["column_names"][0]).casefold() == called]
        by += [
            {"class": "COLUMN_REF", "type": "COLUMN_REF", "column_names": [n]} for n in table["using_columns"]
        ]
        only = {"type": "SELECT_NODE", "from_table": right}
        message = "an ASOF JOIN takes any of the rows that tie on its right side"
        tie = Tie({**self._node, **only, "where_clause": None}, tuple(by), None) if by else None
        return self._unstable(table, message, "leave one row of each on the right side: group it first", tie)

    def calls(self) -> Iterator[Unstable]:
        """Aggregates, windows, and hash()."""
        for call, around in sql_tree.own_calls(self._node):
            name = str(call.get("function_name", "")).casefold()
            if call["class"] == "WINDOW":
                yield from self._window(call, name)
            elif name == "hash":
                yield self._unstable(
                    call,
                    "`hash` may give another number in another version of DuckDB",
                    "write md5(…::varchar)",
                )
            elif name not in ("list", "array_agg") or not SORTED.fullmatch(around):
                yield from self._aggregate(call, name)

    def _aggregate(self, call: Node, name: str) -> Iterator[Unstable]:
        scope, orders = self._scope, sql_tree.call_orders(call)
        made = verdict(self._call(call, name))
        if made is None or (orders and scope.tells_rows_apart([*scope.groups, *orders])):
            return
        by = [*scope.groups, *orders, *made.by]
        if made.values and all(canonical(v) in {canonical(part) for part in parts(by)} for v in made.values):
            return
        tie = self._tie(by, made.values) if made.values is not None and by else None
        yield self._unstable(call, made.message, f"write {made.instead}", tie)

    def _window(self, call: Node, name: str) -> Iterator[Unstable]:
        scope, inner = self._scope, sql_tree.call_orders(call)
        orders = [order["expression"] for order in call.get("orders") or []]
        every = [*(call.get("partitions") or []), *orders, *inner]
        told = scope.tells_output_apart(every) if scope.grouped else scope.tells_rows_apart(every)
        if name in PEERS or (told and (orders or inner)):
            return
        if name in ONE_BY_ONE:
            yield self._one_by_one(call, name, orders, every)
            return
        made = verdict(self._call(call, name))
        tie = None if scope.grouped else self._tie(every)
        if made is not None:
            yield self._unstable(
                call,
                made.message,
                f"write {made.instead.replace(OVER, ' over (…)')}",
                tie if orders else None,
            )
        elif _by_rows(call):
            message = f"a frame of ROWS of `{name}` takes tied rows in no stated order"
            instead = f"write {name}(…) over (… order by {self._listed(orders)} rows …)"
            yield self._unstable(call, message, instead, tie if orders else None)

    def _one_by_one(self, call: Node, name: str, orders: Sequence[Node], every: Sequence[Node]) -> Unstable:
        values = sql_tree.arguments(call)[:1] if name in OF_VALUES else None
        tie = self._tie(every, values) if every and not self._scope.grouped else None
        if not orders and values is None:
            tie = None
        what = "tied rows in no stated order" if orders else "rows in no stated order"
        return self._unstable(
            call, f"`{name}` takes {what}", f"write {name}(…) over (… order by {self._listed(orders)})", tie
        )

    def _is_float(self, call: Node) -> bool:
        """Whether the argument is a floating-point number, by DuckDB's own word; without it, it may be."""
        import duckdb

        if constant(sql_tree.arguments(call)[0]):
            return False
        self._probes += 1
        if self._probes > MOST_PROBED:
            return True
        try:
            sql = sql_tree.unparse(self._con, sql_tree.with_probe(self._tree, call))
            values = sql_parameters.bound(self._con, sql, self._names.parameters)
            self._con.execute(f"describe {sql}", values or None)
        except duckdb.Error as error:
            found = PROBED.search(str(error))
            return found is None or found["type"] in ("FLOAT", "DOUBLE")
        return True


def _has_place(node: Node) -> bool:
    return int(node.get("query_location_length") or 0) > 0 and int(node.get("query_location", -1)) < 1 << 62


def _by_rows(call: Node) -> bool:
    bounds = (str(call.get("start")), str(call.get("end")))
    return any(bound.endswith(("_ROWS", "_GROUPS")) for bound in bounds)


def _name(expression: Node) -> str | None:
    names = expression.get("column_names")
    return str(expression.get("alias") or (names[-1] if names else "")) or None
