"""`ftc compare`: the metrics of two runs side by side, and the examples that flipped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ftc.cli.options import Style, epilog, json_option, style_option, terminal_options
from ftc.cli.status import FINE, exit_code
from ftc.cli.terminal import Terminal

if TYPE_CHECKING:
    from ftc.jobs.comparing import ComparedSuite, CompareResult, Flip

MOST = 10
"""Flips of each suite that are shown; --json has all."""


@click.command(
    "compare", epilog=epilog("ftc compare runs/tickets/4f1c9a0e5b7d2c88 runs/tickets/9a0e5b7d2c884f1c")
)
@click.argument("old", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("new", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--all", "every", is_flag=True, help="Show all examples that flipped, not the first ten.")
@style_option
@json_option
@terminal_options
def command(terminal: Terminal, old: Path, new: Path, *, every: bool, style: Style, json: bool) -> int:
    """Compare what two runs measured: metrics side by side, and the examples that flipped.

    Compares the suites that both runs measured, on the rows that both have, each after training; what `ftc
    eval` measured later counts too. Differences have a 95 % bootstrap interval over the rows and a p-value of
    a paired test. An example flipped where one run is right by a metric and the other one wrong.

    --json prints {"ftc", "command", "ok", "results": [{"old", "new", "ok", "findings", "suites": [{"suite",
    "rows", "metrics", "flips"}]}]}.
    """
    from ftc.cli.findings import document, report_findings
    from ftc.jobs.comparing import compare

    result = compare(old, new)
    if json:
        terminal.document(document("compare", [_json(result)]))
    else:
        report_findings(result.findings, style, terminal)
        terminal.lines(list(_lines(result, terminal, None if every else MOST)))
    return FINE if result.ok else exit_code(result.findings)


def _json(result: CompareResult) -> dict[str, Any]:
    from ftc.diagnostics.json import to_json

    return {
        "old": str(result.old),
        "new": str(result.new),
        "ok": result.ok,
        "findings": [to_json(finding) for finding in result.findings],
        "suites": [asdict(suite) for suite in result.suites],
    }


def _lines(result: CompareResult, terminal: Terminal, most: int | None) -> Iterator[str]:
    for place, suite in enumerate(result.suites):
        if place:
            yield ""
        yield from _suite(suite, terminal, most)


def _suite(suite: ComparedSuite, terminal: Terminal, most: int | None) -> Iterator[str]:
    from ftc.cli.evaluation_view import change_text, figure_text, name_of, title_of
    from ftc.cli.layout import plural, table

    rows = [
        (name_of(one["metric"]), figure_text(one["old"]), figure_text(one["new"]), change_text(one["change"]))
        for one in suite.metrics
    ]
    head, *body = table([(title_of(suite.suite, suite.rows), "first", "second", "change"), *rows])
    yield terminal.style(head, "dim")
    yield from body
    for metric in dict.fromkeys(flip.metric for flip in suite.flips):
        flips = [flip for flip in suite.flips if flip.metric == metric]
        gained = sum(flip.way == "wrong to right" for flip in flips)
        yield ""
        lost = len(flips) - gained
        yield f"{name_of(metric)}: {gained:,} from wrong to right, {lost:,} from right to wrong"
        shown = flips if most is None else flips[:most]
        for flip in shown:
            yield from _flip(flip, terminal)
        if len(shown) < len(flips):
            yield f"  and {plural(len(flips) - len(shown), 'more example')}: --all shows them"


def _flip(flip: Flip, terminal: Terminal) -> Iterator[str]:
    from ftc.cli.layout import clip
    from ftc.cli.terminal import escape

    width = terminal.width - 16
    mark = terminal.style("+", "good") if flip.way == "wrong to right" else terminal.style("-", "error")
    yield f"  {mark} {escape(flip.id)}  {escape(clip(flip.prompt.replace(chr(10), ' '), width))}"
    if flip.reference is not None:
        yield f"      reference: {escape(clip(flip.reference, width))}"
    yield f"      first:     {escape(clip(flip.old, width))}"
    yield f"      second:    {escape(clip(flip.new, width))}"
