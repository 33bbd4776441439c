"""A recipe's SQL as DuckDB's own syntax tree: what it reads, and how a row number is added to it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ftc.facts.sandbox import quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Node = dict[str, Any]

ROW_COLUMN = "ftc row"
"""Column that carries the source's row number (from 0) through a traced query."""

QUERIES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
ONE_ROW_MODIFIERS = ("ORDER_MODIFIER", "LIMIT_MODIFIER")


def parse(con: DuckDBPyConnection, sql: str) -> Node | None:
    """The tree of one SELECT; None where the statement is something else. Raises duckdb.Error."""
    row = con.execute(f"select json_serialize_sql({quoted(sql)}, skip_default := false)").fetchone()
    tree: Node = json.loads(row[0]) if row else {"error": True}
    return None if tree["error"] or len(tree["statements"]) != 1 else tree


def unparse(con: DuckDBPyConnection, tree: Node) -> str:
    """The SQL of a tree."""
    row = con.execute(f"select json_deserialize_sql({quoted(json.dumps(tree))})").fetchone()
    return str(row[0]) if row else ""


def walk(node: Any, *, subqueries: bool = True) -> Iterator[Node]:
    """Every object of a tree, outermost first; without those of subqueries if so asked."""
    if isinstance(node, list):
        for item in node:
            yield from walk(item, subqueries=subqueries)
    elif isinstance(node, dict):
        yield node
        for key, value in node.items():
            if subqueries or not (key == "subquery" and node.get("class") == "SUBQUERY"):
                yield from walk(value, subqueries=subqueries)


def select_node(tree: Node) -> Node:
    """The outermost query of a tree."""
    node: Node = tree["statements"][0]["node"]
    return node


def replace_select(tree: Node, node: Node) -> None:
    """Put another query in the place of the outermost one."""
    tree["statements"][0]["node"] = node


def with_names(tree: Node) -> frozenset[str]:
    """The names that WITH clauses give, in lower case."""
    maps = (node["cte_map"]["map"] for node in walk(tree) if isinstance(node.get("cte_map"), dict))
    return frozenset(str(entry["key"]).casefold() for entries in maps for entry in entries)


def tables(tree: Node) -> Iterator[Node]:
    """The references to named tables."""
    return (node for node in walk(tree) if node.get("type") == "BASE_TABLE")


def table_functions(tree: Node) -> Iterator[tuple[Node, str]]:
    """The places where a function's call stands for a table, with the function's name in lower case."""
    return (
        (node, str(node["function"].get("function_name", "")).casefold())
        for node in walk(tree)
        if node.get("type") == "TABLE_FUNCTION" and isinstance(node.get("function"), dict)
    )


def only_reads(tree: Node) -> bool:
    """Whether every part of a query is a query too, not an INSERT in a WITH clause or a DESCRIBE."""
    kinds = {str(node["type"]) for node in walk(tree) if isinstance(node.get("type"), str)}
    return "SHOW_REF" not in kinds and {kind for kind in kinds if kind.endswith("_NODE")} <= QUERIES


def parameters(tree: Node) -> Iterator[Node]:
    """The places where a parameter stands, named or numbered."""
    return (node for node in walk(tree) if node.get("class") == "PARAMETER" and "identifier" in node)


def queries(tree: Node) -> Iterator[tuple[Node, bool]]:
    """Every query and subquery, outermost first, and whether only its having rows counts."""
    asked = {
        id(node["subquery"]["node"])
        for node in walk(tree)
        if node.get("class") == "SUBQUERY" and str(node.get("subquery_type")) in ("EXISTS", "NOT_EXISTS")
    }
    kinds = ("SELECT_NODE", "SET_OPERATION_NODE")
    return ((node, id(node) in asked) for node in walk(tree) if node.get("type") in kinds)


def own_nodes(node: Node, *, around: str = "") -> Iterator[tuple[Node, str]]:
    """The expressions and tables of a query itself, and the function around each, in lower case."""
    for key, value in node.items():
        if key in ("cte_map", "subquery", "children") and node.get("class") in (None, "SUBQUERY"):
            continue
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                yield item, around
                inside = str(item.get("function_name", "")).casefold() or around * (item.get("class") is None)
                yield from own_nodes(item, around=inside)


def own_calls(node: Node) -> Iterator[tuple[Node, str]]:
    """The functions and windows that a query itself calls, and the function around each."""
    kinds = ("FUNCTION", "WINDOW")
    return ((item, around) for item, around in own_nodes(node) if item.get("class") in kinds)


def own_joins(node: Node) -> Iterator[Node]:
    """The joins of a query itself."""
    return (item for item, _ in own_nodes(node) if item.get("type") == "JOIN")


def arguments(call: Node) -> list[Node]:
    """The arguments of a call."""
    return [argument["expression"] for argument in call.get("arguments") or []]


def call_orders(call: Node) -> list[Node]:
    """The expressions by which the values of an aggregate are ordered."""
    orders = (call.get("order_bys") or {}).get("orders") or call.get("arg_orders") or []
    return [order["expression"] for order in orders]


def with_probe(tree: Node, call: Node) -> Node:
    """The tree with a call replaced by one that cannot be bound, of which DuckDB says the argument's type."""
    memo: dict[int, Any] = {}
    tree = copy.deepcopy(tree, memo)
    new: Node = memo[id(call)]
    new |= {"function_name": "bool_and", "qualified_name": {"path": ["bool_and"]}, "distinct": False}
    new["arguments"] = [new["arguments"][0]] * 3
    if new["class"] == "WINDOW":
        new |= {"type": "WINDOW_AGGREGATE", "arg_orders": []}
    else:
        new["order_bys"] = {"type": "ORDER_MODIFIER", "orders": []}
    return tree


def samples(tree: Node) -> Iterator[Node]:
    """The parts of a query that take a sample."""
    return (node for node in walk(tree) if node.get("sample"))


def functions(tree: Any, *, subqueries: bool = True) -> Iterator[Node]:
    """The calls of functions, operators included, window functions not."""
    return (
        node
        for node in walk(tree, subqueries=subqueries)
        if node.get("class") == "FUNCTION" and "function_name" in node
    )


def read_sources(tree: Node, names: Sequence[str]) -> tuple[str, ...]:
    """Which of the declared sources a query reads."""
    folded = {name.casefold(): name for name in names}
    used = {folded.get(str(node["table_name"]).casefold()) for node in tables(tree)}
    return tuple(name for name in names if name in used)


def one_source(tree: Node, names: Sequence[str]) -> str | None:
    """The only source of a query each of whose result rows is a row of it, as far as its shape tells.

    What the shape does not tell (aggregates) the binder does, once the row number is added.
    """
    node = select_node(tree)
    table = node.get("from_table") or {}
    plain = (
        node.get("type") == "SELECT_NODE"
        and table.get("type") == "BASE_TABLE"
        and not table.get("sample")
        and not table.get("column_name_alias")
        and not node.get("sample")
        and not node.get("group_expressions")
        and node.get("aggregate_handling") == "STANDARD_HANDLING"
        and not node["cte_map"]["map"]
        and all(_keeps_rows(modifier) for modifier in node["modifiers"])
    )
    return (read_sources({"table": table}, names) or (None,))[0] if plain else None


def _keeps_rows(modifier: Node) -> bool:
    if modifier["type"] == "DISTINCT_MODIFIER":
        return bool(modifier.get("distinct_on_targets"))
    by_all = any(order["expression"]["class"] == "STAR" for order in modifier.get("orders", []))
    return modifier["type"] in ONE_ROW_MODIFIERS and not by_all


def multiplies_rows(tree: Node, kinds: Mapping[str, str]) -> bool:
    """Whether a function of the outermost query may make several rows of one; `kinds` by its name."""
    return any(
        kinds.get(str(call["function_name"]).casefold(), "other") not in ("scalar", "aggregate")
        for call in functions(select_node(tree), subqueries=False)
    )


def with_row_numbers(tree: Node) -> Node:
    """The tree of a traced query with the row number as its last column (ORDER BY 1 keeps its meaning).

    Ties of ORDER BY are broken by the row number, and without ORDER BY it decides, so that the rows do
    not depend on how DuckDB runs the query.
    """
    tree = copy.deepcopy(tree)
    node = select_node(tree)
    table = node["from_table"]
    row = {
        "class": "COLUMN_REF",
        "type": "COLUMN_REF",
        "alias": ROW_COLUMN,
        "query_location": 0,
        "column_names": [table["alias"] or table["table_name"], "rowid"],
    }
    node["select_list"].append(row)
    tie = {"type": "ASCENDING", "null_order": "ORDER_DEFAULT", "expression": {**row, "alias": ""}}
    order = next((m for m in node["modifiers"] if m["type"] == "ORDER_MODIFIER"), None)
    if order is not None:
        order["orders"].append(tie)
    elif node["modifiers"]:
        _insert_order(node["modifiers"], {"type": "ORDER_MODIFIER", "orders": [tie]})
    return tree


def _insert_order(modifiers: list[Node], order: Node) -> None:
    """ORDER BY stands before LIMIT and after DISTINCT ON."""
    at = next((i for i, m in enumerate(modifiers) if m["type"] == "LIMIT_MODIFIER"), len(modifiers))
    modifiers.insert(at, order)


def runs_in_parallel(tree: Node) -> bool:
    """Whether a traced query's values cannot depend on the number of threads: each row on its own."""
    return not any(
        node.get("class") in ("WINDOW", "SUBQUERY") or node.get("type") == "DISTINCT_MODIFIER"
        for node in walk(tree)
    )


def only_columns(tree: Node) -> bool:
    """Whether a traced query gives every row of its source, with columns as they are."""
    node = select_node(tree)
    clauses = ("where_clause", "having", "sample", "qualify", "modifiers", "group_expressions", "group_sets")
    plain = not any(node.get(clause) for clause in clauses) and not node["cte_map"]["map"]
    plain = plain and node["aggregate_handling"] == "STANDARD_HANDLING"
    return plain and not node["from_table"].get("sample") and all(map(_is_column, node["select_list"]))


def _is_column(expression: Node) -> bool:
    if expression["class"] == "STAR":
        return not expression["replace_list"] and expression.get("expr") is None
    return bool(expression["class"] == "COLUMN_REF")
