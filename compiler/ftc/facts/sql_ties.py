"""Ask the data whether rows tie: a question to DuckDB for each place of a query that may hang on it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from ftc.facts import sql_tree
from ftc.facts.sql_order import Tie
from ftc.facts.sql_tree import Node

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PLAIN: Node = {
    "modifiers": [],
    "group_expressions": [],
    "group_sets": [],
    "aggregate_handling": "STANDARD_HANDLING",
    "having": None,
    "qualify": None,
}


def tie_question(con: DuckDBPyConnection, tree: Node, tie: Tie) -> str:
    """SQL that returns a row if there is a tie and none if not; it may not bind within other queries.

    Raises duckdb.Error.
    """
    by = _named("k", tie.by)
    values = _named("v", tie.values or ())
    inner = copy.deepcopy(tree)
    outermost = sql_tree.select_node(tree)
    node: Node = {**tie.node, "modifiers": []}
    listed = [*by, *values]
    if tie.grouped:
        listed = [*node["select_list"], *listed]
    else:
        node |= PLAIN
    node["select_list"] = listed
    if node is not outermost and not node.get("cte_map", {}).get("map"):
        node["cte_map"] = outermost["cte_map"]
    sql_tree.replace_select(inner, node)
    keys = ", ".join(f'q."{one["alias"]}"' for one in by)
    several = "count(*) > 1"
    if values:
        told = ", ".join(f'q."{one["alias"]}"' for one in values)
        several = f"count(distinct to_json([to_json(struct_pack({_fields(told)}))])) > 1"
    return f"select 1 from ({sql_tree.unparse(con, inner)}) q group by {keys} having {several} limit 1"  # noqa: S608


def _fields(told: str) -> str:
    return ", ".join(f"f{number} := {one}" for number, one in enumerate(told.split(", ")))


def _named(letter: str, expressions: tuple[Node, ...]) -> list[Node]:
    return [{**one, "alias": f"ftc {letter}{number}"} for number, one in enumerate(expressions)]
