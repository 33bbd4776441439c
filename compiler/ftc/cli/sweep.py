"""`ftc sweep`: build the variants of a recipe and compare them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ftc.cli.options import Request, epilog, recipe_options
from ftc.cli.status import FAILED, FINE, RECIPE_WRONG, STOPPED, exit_code

if TYPE_CHECKING:
    from ftc.sweeping.results import SweepResult, VariantResult


@click.command("sweep", epilog=epilog("ftc sweep recipe.toml", "ftc sweep recipe.toml --plan"))
@click.option("--plan", "plan_only", is_flag=True, help="Plan and check the variants, and build none.")
@click.option(
    "--runs",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where run directories are made; `runs` beside the recipe by default.",
)
@recipe_options
def command(request: Request, *, plan_only: bool, runs: Path | None) -> int:
    """Build the variants of a recipe that its [sweep] describes, and compare them.

    All variants are planned and checked before the first is built; of a search by a sampler, those at the
    ends of what it may pick. Each variant is a run like others, so what is there is not built again, data
    that did not change is not read again, and after Ctrl-C the same command goes on.

    --json prints {"ftc", "command", "ok", "results": [{"recipe", "ok", "findings", "status", "metric",
    "better", "best", "variants": [{"values", "digest", "status", "value", "metrics", "seconds", "run",
    "step", "forecast"}, ...]}, ...]}, one result a recipe; progress goes to standard error.
    """
    from ftc.cli.findings import document
    from ftc.cli.sweep_view import sweep_json

    results: list[SweepResult] = []
    for recipe in request.recipes:
        results.append(_sweep(recipe, request, runs, plan_only=plan_only))
        if results[-1].status == "stopped":
            break
    if request.json:
        request.terminal.document(document("sweep", [sweep_json(result) for result in results]))
    return max((_code(result) for result in results), default=FINE)


def _sweep(recipe: Path, request: Request, runs: Path | None, *, plan_only: bool) -> SweepResult:
    from ftc import api
    from ftc.cli.findings import report_findings
    from ftc.cli.progress import open_reporter
    from ftc.cli.sweep_view import sweep_lines, variant_line

    def told(variant: VariantResult) -> None:
        if not request.terminal.quiet and not request.json and not request.terminal.interactive:
            request.terminal.err(variant_line(variant))

    with open_reporter(request, building=True) as reporter:
        result = api.sweep(
            recipe,
            set=request.overrides,
            runs=runs,
            plan_only=plan_only,
            progress=reporter.data,
            on_event=reporter.event,
            on_variant=told,
        )
        reporter.close(ok=result.ok)
    if not request.json:
        report_findings(result.findings, request.style, request.terminal)
        request.terminal.lines(sweep_lines(result, request.terminal))
        if result.status == "stopped":
            again = ["ftc", "sweep", str(result.path)]
            again += [part for override in request.overrides for part in ("--set", override)]
            again += ["--runs", str(runs)] if runs else []
            request.terminal.err(f"To go on: {shlex.join(again)}")
    return result


def _code(result: SweepResult) -> int:
    if result.status == "stopped":
        return STOPPED
    if result.status == "failed":
        return FAILED
    return FINE if result.ok else max(exit_code(result.findings), RECIPE_WRONG)
