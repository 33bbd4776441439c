"""`ftc build`: make the model a recipe describes."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ftc.cli.options import Request, epilog, recipe_options
from ftc.cli.status import FAILED, FINE, GATE_FAILED, RECIPE_WRONG, STOPPED, exit_code

if TYPE_CHECKING:
    from ftc.api import BuildResult


@click.command("build", epilog=epilog("ftc build recipe.toml", "ftc build recipe.toml --set train.epochs=1"))
@click.option(
    "--runs",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where run directories are made; `runs` beside the recipe by default.",
)
@click.option(
    "--locked",
    is_flag=True,
    help="Build nothing unless every input is as recipe.lock has it.",
)
@recipe_options
def command(request: Request, runs: Path | None, *, locked: bool) -> int:
    """Make the model that a recipe describes.

    Plans, trains, and measures the model on the held-out rows before and after. Does nothing where a whole
    run of the same plan is there already. After Ctrl-C the same command goes on from the last checkpoint.
    A recipe that it builds on is built first, if its run is not there.
    Writes recipe.lock beside the recipe where there is none; with --locked it refuses inputs that differ.
    Where a gate of a suite fails the exit code is 4, and the run is kept.

    --json prints {"ftc", "command", "ok", "results": [{"recipe", "ok", "findings", "status", "digest",
    "run", "evaluation", "built_on", "locks"}, ...]}, one result a recipe; progress goes to standard error.
    """
    from ftc.cli.findings import document

    results: list[BuildResult] = []
    for recipe in request.recipes:
        results.append(_build(recipe, request, runs, locked=locked))
        if results[-1].status == "stopped":
            break
    if request.json:
        request.terminal.document(document("build", [_json(result) for result in results]))
    return max((_code(result) for result in results), default=FINE)


def _build(recipe: Path, request: Request, runs: Path | None, *, locked: bool) -> BuildResult:
    from ftc import api
    from ftc.cli.findings import report_findings
    from ftc.cli.progress import open_reporter

    with open_reporter(request, building=True) as reporter:
        result = api.build(
            recipe,
            set=request.overrides,
            runs=runs,
            locked=locked,
            progress=reporter.data,
            on_event=reporter.event,
        )
        reporter.close(ok=result.ok)
    if not request.json:
        report_findings(result.findings, request.style, request.terminal)
        _print(result, request, runs)
    return result


def _code(result: BuildResult) -> int:
    if result.status == "stopped":
        return STOPPED
    if result.status == "failed":
        return FAILED
    if result.gates_failed:
        return GATE_FAILED
    return FINE if result.ok else max(exit_code(result.findings), RECIPE_WRONG)


def _print(result: BuildResult, request: Request, runs: Path | None) -> None:
    from ftc.cli.build_view import result_lines

    if result.locks and not request.terminal.quiet:
        named = ", ".join(str(path) for path in result.locks)
        request.terminal.err(f"Wrote {named}: commit it beside the recipe.")
    if result.status == "stopped":
        again = ["ftc", "build", str(result.path)]
        again += [part for override in request.overrides for part in ("--set", override)]
        again += ["--runs", str(runs)] if runs else []
        request.terminal.err(f"To go on: {shlex.join(again)}")
    elif result.ok:
        request.terminal.lines(result_lines(result, request.terminal))


def _json(result: BuildResult) -> dict[str, Any]:
    from ftc.cli.build_view import bases
    from ftc.cli.findings import result_json

    below = [
        {"recipe": str(one.path), "status": one.status, "digest": one.digest, "run": one.run and str(one.run)}
        for one in bases(result)
    ]
    more = {
        "built_on": below,
        "status": result.status,
        "digest": result.digest,
        "run": None if result.run is None else str(result.run),
        "evaluation": result.evaluation,
        "locks": [str(path) for path in result.locks],
    }
    return {**result_json(result.path, result.findings, more), "ok": result.ok and not result.gates_failed}
