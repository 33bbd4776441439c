"""`ftc check`: every mistake in a recipe, without reading data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ftc.cli.options import Request, epilog, recipe_options
from ftc.cli.status import FINE, exit_code

if TYPE_CHECKING:
    from ftc.api import CheckResult


@click.command("check", epilog=epilog("ftc check recipe.toml", "ftc check recipes/*.toml --format concise"))
@recipe_options
def command(request: Request) -> int:
    """Find every mistake in recipes, without reading data.

    All mistakes of a file come out in one run, in the order of its lines. `ftc explain CODE` has the long
    form of each.

    --json prints {"ftc", "command", "ok", "results": [{"recipe", "ok", "findings"}, ...]}, one result a
    recipe.
    """
    from ftc import api
    from ftc.cli.findings import document, report_findings, result_json

    results = [api.check(recipe, set=request.overrides) for recipe in request.recipes]
    if request.json:
        request.terminal.document(
            document("check", [result_json(result.path, result.findings, {}) for result in results])
        )
    else:
        for result in results:
            report_findings(result.findings, request.style, request.terminal, err=False)
            _verdict(result, request)
    return max((exit_code(result.findings) for result in results), default=FINE)


def _verdict(result: CheckResult, request: Request) -> None:
    from ftc.cli.findings import counted

    terminal = request.terminal
    if terminal.quiet or (request.style == "concise" and result.findings):
        return
    count = counted(result.findings)
    path = terminal.style(str(result.path), "strong")
    if result.ok:
        terminal.out(f"{terminal.style('ok', 'good')}  {path}{f' ({count})' if count else ''}")
    else:
        terminal.out(f"{path}: {count}")
