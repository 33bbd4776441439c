"""Aggregates whose value hangs on the order of their arguments, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ftc.facts.sql_order import canonical, constant, known, parts
from ftc.facts.sql_tree import Node

PICKS = frozenset(("any_value", "arbitrary", "first", "last", "first_value", "last_value"))
STRINGS = frozenset(("list", "array_agg", "string_agg", "group_concat", "listagg"))
MACROS = {
    "json_group_array": "to_json(list({} order by \0key))",
    "json_group_object": "to_json of a list of {{key, value}} with an order, instead of {}",
    "variant_group_array": "list({} order by \0key)::variant",
}
KEY, OVER = "\0key", "\0over"
"""Stand for a column without ties, and for the window of a call, in what to write instead."""

AT_MOST = re.compile(r"arg_?(max|min)(_null|_nulls_last)?|(max|min)_by")
SUMS = frozenset(("sum", "avg", "mean", "sum_no_overflow"))
"""Exact for whole numbers and decimals."""

FLOATING = re.compile(
    r"fsum|kahan_sum|sumkahan|favg|product|stddev|stddev_pop|stddev_samp|variance|var_pop|var_samp|sem"
    r"|skewness|kurtosis|kurtosis_pop|corr|covar_pop|covar_samp"
    r"|regr_(avgx|avgy|intercept|r2|slope|sxx|sxy|syy)"
)
UNORDERED = frozenset(("geomean", "geometric_mean", "weighted_avg", "wavg", "entropy"))
"""Floating-point results that no order of the arguments makes exact."""

ESTIMATES = {
    "approx_count_distinct": "count(distinct {})",
    "approx_quantile": "quantile_cont({})",
    "approx_top_k": "a query that counts each value, ordered and limited, instead of {}",
}
SORTED = re.compile(
    r"(list|array)_(reverse_)?sort|len|array_length|list_(count|min|max|unique)|(list|array)_(contains|has)|unnest"
)
"""Functions of a list in which its order does not show, or which sort it."""


@dataclass(frozen=True)
class Call:
    """A call of an aggregate, as SQL and as its tree."""

    name: str
    arguments: Sequence[Node]
    orders: Sequence[Node]
    distinct: bool
    said: Callable[[Node], str]
    is_float: Callable[[], bool]

    @property
    def first(self) -> str:
        """The SQL of the first argument."""
        return self.said(self.arguments[0])

    @property
    def everything(self) -> str:
        """The SQL of all arguments."""
        return ("distinct " if self.distinct else "") + ", ".join(map(self.said, self.arguments))

    def ordered(self) -> str:
        """The call with an order that leaves no ties; of distinct values that is the order of the values."""
        orders = [self.said(order) for order in self.orders]
        last = self.first if self.distinct else KEY
        return f"{self.name}({self.everything} order by {', '.join([*orders, last])}){OVER}"


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a call and what to write instead.

    Nothing is wrong where rows that agree in `by` and in the order agree in `values` too; no data helps where
    that is None.
    """

    message: str
    instead: str
    values: tuple[Node, ...] | None = None
    by: tuple[Node, ...] = ()


def verdict(call: Call) -> Verdict | None:
    """What is wrong with an aggregate; None where nothing is, whatever the rows' order."""
    name, ordered = call.name, known(call.orders)
    if not call.arguments or all(canonical(part) in ordered or constant(part) for part in call.arguments):
        return None
    if name in PICKS:
        least = "" if call.orders else f"min({call.first}){OVER}, or "
        return Verdict(f"`{name}` takes any of several values", least + call.ordered(), (call.arguments[0],))
    if name in STRINGS:
        values = (call.arguments[0],) if call.orders else None
        return Verdict(f"`{name}` puts values together in no stated order", call.ordered(), values)
    if name in MACROS:
        message = f"`{name}` puts values together in no stated order"
        return Verdict(message, MACROS[name].format(call.first))
    if AT_MOST.fullmatch(name) and len(call.arguments) > 1:
        return _at_most(call)
    return _numeric(call)


def _at_most(call: Call) -> Verdict | None:
    value, key = call.arguments[:2]
    if canonical(value) in {canonical(part) for part in parts([key])}:
        return None
    said = call.said(key)
    keys = said[1:-1] if said.startswith("(") and said.endswith(")") else said
    instead = f"{call.name}({call.first}, ({keys}, {call.first})){OVER}"
    return Verdict(f"`{call.name}` takes any of the rows that tie", instead, (value,), (key,))


def _numeric(call: Call) -> Verdict | None:
    name = call.name
    if name == "mode":
        message = "`mode` takes any of the values that are equally frequent"
        return Verdict(message, f"mode({call.first} order by {call.first}){OVER}")
    if name in ESTIMATES:
        message = f"`{name}` estimates, and another version of DuckDB may estimate otherwise"
        return Verdict(message, ESTIMATES[name].format(call.everything) + OVER)
    if name not in UNORDERED and not FLOATING.fullmatch(name) and not (name in SUMS and call.is_float()):
        return None
    message = f"the last digits of `{name}` hang on the order of the numbers"
    if name in UNORDERED:
        return Verdict(message, f"round({name}({call.everything}){OVER}, 6)")
    plain = ", ".join(map(call.said, call.arguments))
    instead = f"{name}({call.everything} order by {plain}){OVER}"
    exact = f", or {name}({call.first}::decimal(18, 6)){OVER}" if name in SUMS else ""
    return Verdict(message, instead + exact, tuple(call.arguments) if call.orders else None)
