"""`ftc report`: a plan or a run as one page to look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ftc.cli.options import (
    DEFAULT_RECIPE,
    Request,
    Style,
    allow_option,
    epilog,
    json_option,
    set_option,
    style_option,
    terminal_options,
)
from ftc.cli.plan import gpu_names
from ftc.cli.status import exit_code
from ftc.cli.terminal import Terminal

if TYPE_CHECKING:
    from ftc.report.write import Reported


@click.command(
    "report",
    epilog=epilog(
        "ftc report recipe.toml --open",
        "ftc report recipe.toml --gpu L4,H100-80GB-SXM --out plan.html",
        "ftc report runs/tickets/4f1c9a0e5b7d2c88 --open",
    ),
)
@click.argument("target", metavar="RECIPE|RUN", required=False, type=click.Path(path_type=Path))
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the page is written.",
)
@click.option("--open", "opened", is_flag=True, help="Open the page in the browser.")
@click.option(
    "--gpu",
    "gpus",
    metavar="A,B",
    callback=gpu_names,
    help="Forecast a recipe's build on these GPUs, or on `all` of them, instead of the cheapest that fit.",
)
@set_option()
@allow_option
@style_option
@json_option
@terminal_options
def command(  # noqa: PLR0913 - one for each option
    terminal: Terminal,
    target: Path | None,
    *,
    out: Path | None,
    opened: bool,
    gpus: tuple[str, ...],
    overrides: tuple[str, ...],
    style: Style,
    json: bool,
) -> int:
    """Make one page of a plan or of a run, which opens without a network.

    Of a recipe it shows the plan: the way of its rows, their lengths, examples with their loss, lints,
    memory, time and cost, every choice with its reason. It is written beside the recipe, as recipe.html. Of
    a run it shows what came of it as well: the evaluation, answers that changed, the curves of training. A
    run has its page as report.html, and is sealed: with --out, or where `ftc eval` measured it since, it is
    made elsewhere.

    --json prints {"ftc", "command", "ok", "results": [{"recipe", "ok", "findings", "kind", "page",
    "bytes"}]}; `page` is null where none could be made.
    """
    from ftc.cli.findings import document, report_findings, result_json
    from ftc.cli.progress import data_progress
    from ftc.jobs.diffing import kind_of
    from ftc.report.write import report, show

    if target is None and not Path(DEFAULT_RECIPE).is_file():
        raise click.UsageError(f"name a recipe or a run: there is no {DEFAULT_RECIPE} in this directory")
    place = target or Path(DEFAULT_RECIPE)
    if (overrides or gpus) and kind_of(place) == "run":
        raise click.UsageError(f"--set and --gpu change how a recipe is planned, and {place} is a run")
    request = Request((place,), overrides, json, style, terminal)
    with data_progress(request) as progress:
        made = report(place, out, overrides, gpus=gpus, progress=progress)
    findings = (*made.findings, *show(made.page)) if opened and made.page is not None else made.findings
    if json:
        more = {
            "kind": made.kind,
            "page": None if made.page is None else str(made.page),
            "bytes": made.size,
        }
        terminal.document(document("report", [result_json(place, findings, more)]))
    else:
        report_findings(findings, style, terminal)
        _print(made, terminal)
    return exit_code(findings)


def _print(made: Reported, terminal: Terminal) -> None:
    from ftc.cli.layout import size

    if made.page is not None:
        terminal.out(f"{terminal.style(str(made.page), 'accent')} ({size(made.size)})")
