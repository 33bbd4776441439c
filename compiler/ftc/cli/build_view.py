"""A finished build: its measurements before and after side by side, its place, how to load the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ftc.cli.evaluation_view import evaluation_lines
from ftc.cli.layout import number, table
from ftc.cli.terminal import Terminal, escape

if TYPE_CHECKING:
    from ftc.api import BuildResult

TITLES = {
    "loss": "loss",
    "exact_match": "exact match",
    "label_accuracy": "label accuracy",
}
"""Metrics in the order of the table; lower is better for the loss alone."""

Metrics = Mapping[str, Any]


def _share(metrics: Metrics, name: str) -> str:
    """`0.62 (62 of 100)` for a share with its counts, three decimals otherwise."""
    value = metrics.get(name)
    if value is None:
        return "n/a"
    right, rows = metrics.get(f"{name}_right"), metrics.get(f"{name}_rows")
    if right is None or rows is None:
        return f"{value:.3f}"
    return f"{value:.3f}  {number(right)} of {number(rows)}"


def _change(before: Metrics, after: Metrics, name: str) -> str:
    first, last = before.get(name), after.get(name)
    return "" if first is None or last is None else f"{last - first:+.3f}".replace("-", "\N{MINUS SIGN}")


def metric_rows(first: Metrics, last: Metrics) -> list[tuple[str, str, str, str]]:
    """A row for each metric that one of two measurements has: its name, both values, the change."""
    return [
        (title, _share(first, name), _share(last, name), _change(first, last, name))
        for name, title in TITLES.items()
        if name in first or name in last
    ]


def bases(result: BuildResult) -> list[BuildResult]:
    """The builds that a build came after, the first one first."""
    return [] if result.base is None else [*bases(result.base), result.base]


def _base_lines(last: BuildResult, terminal: Terminal) -> list[str]:
    """Each recipe of the chain below with its state and its run."""
    rows = []
    for one in (*bases(last), last):
        name = one.plan.name if one.plan is not None else str(one.path)
        rows.append((name, one.status, "" if one.run is None else terminal.style(str(one.run), "accent")))
    return table(rows)


def result_lines(result: BuildResult, terminal: Terminal) -> list[str]:
    """What is to be said of a build that is whole."""
    from ftc.artifact.cards.loading import loading
    from ftc.artifact.chain import read_chain

    name = result.plan.name if result.plan else str(result.path)
    lines = [f"{terminal.style(name, 'strong')}  {terminal.style(result.status, 'good')}", ""]
    if result.base is not None:
        lines += ["built on:", *(f"  {line}" for line in _base_lines(result.base, terminal)), ""]
    if result.evaluation is not None:
        lines += [*evaluation_lines(result.evaluation, terminal), ""]
    if result.run is not None:
        lines += ["run directory:", f"  {terminal.style(str(result.run), 'accent')}"]
    if result.plan is not None and not terminal.quiet:
        chain = read_chain(result.run) if result.run is not None else ()
        code = [line for line in loading(result.plan, chain).splitlines() if line]
        lines += ["load it in Python, there:", *(f"  {escape(line)}" for line in code)]
    return lines
