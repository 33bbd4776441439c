"""`ftc diff`: what changed between two recipes, plans or runs, and what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ftc.cli.options import (
    Request,
    Style,
    allow_option,
    epilog,
    json_option,
    set_option,
    style_option,
    terminal_options,
)
from ftc.cli.status import FINE, USAGE, exit_code
from ftc.cli.terminal import Terminal

if TYPE_CHECKING:
    from ftc.api import DiffResult

DIFFERENT = 1


@click.command(
    "diff",
    epilog=epilog(
        "ftc diff runs/tickets/4f1c9a0e5b7d2c88 recipe.toml",
        "ftc diff recipe.toml recipe.toml --set train.epochs=1",
        "ftc diff --exit-code old.json new.json",
    ),
)
@click.argument("old", metavar="OLD", type=click.Path(path_type=Path))
@click.argument("new", metavar="NEW", type=click.Path(path_type=Path))
@set_option("Override a setting of the recipe NEW; may be repeated.")
@click.option(
    "--exit-code",
    "tells",
    is_flag=True,
    help="Exit with 1 where they differ, 0 where not; mistakes then give 2 or 3.",
)
@allow_option
@style_option
@json_option
@terminal_options
def command(  # noqa: PLR0913 - one for each option
    terminal: Terminal,
    old: Path,
    new: Path,
    *,
    overrides: tuple[str, ...],
    tells: bool,
    style: Style,
    json: bool,
) -> int:
    """Say what changed between two recipes, plans or runs, and what it costs.

    OLD and NEW are each a recipe, the JSON of a plan, or a run directory. Recipes are planned, which reads
    and compiles their rows. Says which rows, tokens, steps and settings differ, which values were chosen
    otherwise, and what a build of NEW makes anew where that of OLD is there. Where the compiled rows of both
    are at hand it names those that came, went or changed.

    --json prints {"ftc", "command", "ok", "results": [{"old", "new", "ok", "findings", "same", "figures",
    "sources", "queries", "settings", "choices", "data", "redone", "rows"}]}.
    """
    from ftc import api
    from ftc.cli.findings import document, report_findings
    from ftc.cli.progress import data_progress
    from ftc.diagnostics import Severity
    from ftc.jobs.diffing import kind_of

    if overrides and kind_of(new) not in ("recipe", None):
        raise click.UsageError(f"--set changes a recipe, and {new} is a {kind_of(new)}")
    request = Request((old, new), overrides, json, style, terminal)
    with data_progress(request) as progress:
        result = api.diff(old, new, set=overrides, progress=progress)
    if json:
        from ftc.cli.diff_json import diff_json

        terminal.document(document("diff", [diff_json(result)]))
    else:
        errors = [finding for finding in result.findings if finding.severity is Severity.ERROR]
        report_findings(errors, style, terminal)
        _print(result, terminal)
    return _status(result, tells=tells)


def _print(result: DiffResult, terminal: Terminal) -> None:
    from ftc.cli.diff_view import diff_screen

    if result.comparison is not None:
        terminal.lines([*diff_screen(result, result.comparison, terminal), ""])


def _status(result: DiffResult, *, tells: bool) -> int:
    code = exit_code(result.findings)
    if not tells:
        return code
    if code != FINE:
        return max(code, USAGE)
    return FINE if result.same else DIFFERENT
