"""`ftc eval`: measure finished runs on suites, later."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ftc.cli.options import Style, allow_option, epilog, json_option, style_option, terminal_options
from ftc.cli.status import FINE, GATE_FAILED, STOPPED, exit_code
from ftc.cli.terminal import Terminal

if TYPE_CHECKING:
    from ftc.cli.options import Request
    from ftc.jobs.evaluating import EvalResult


@click.command(
    "eval",
    epilog=epilog(
        "ftc eval runs/tickets/4f1c9a0e5b7d2c88 --suite forgetting",
        "ftc eval runs/tickets/* --suite other/recipe.toml",
    ),
)
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option(
    "--suite",
    default="recipe.toml",
    show_default=True,
    metavar="RECIPE|NAME",
    help="A recipe whose suites are measured, or a suite that ftc ships.",
)
@allow_option
@style_option
@json_option
@terminal_options
def command(terminal: Terminal, runs: tuple[Path, ...], *, suite: str, style: Style, json: bool) -> int:
    """Measure finished runs on any suites, with their base model beside them.

    The suites are those of a recipe with the same base model, or one that ftc ships. What comes of it lies
    beside the run, which is sealed, in RUN.evals; asked again it is found there. `ftc compare` reads it too.
    Where a gate of a suite fails the exit code is 4.

    --json prints {"ftc", "command", "ok", "results": [{"run", "ok", "findings", "directory", "evaluation"},
    ...]}, one result a run; progress goes to standard error.
    """
    from ftc.cli.findings import document
    from ftc.cli.options import Request

    request = Request((), (), json, style, terminal)
    results: list[EvalResult] = []
    for run in runs:
        results.append(measured(run, suite, request))
        if results[-1].stopped:
            break
    if json:
        terminal.document(document("eval", [json_of(result) for result in results]))
    return max((code_of(result) for result in results), default=FINE)


def measured(run: Path, suite: str, request: Request, *, baselines: bool = False) -> EvalResult:
    """Measure one run, telling how it goes, and print what came of it."""
    from ftc.cli.evaluation_view import evaluation_lines
    from ftc.cli.findings import report_findings
    from ftc.cli.progress import open_reporter
    from ftc.jobs.evaluating import Heard, evaluate

    terminal = request.terminal
    with open_reporter(request, building=True) as reporter:
        heard = Heard(reporter.data, reporter.event)
        overrides = request.overrides if baselines else ()
        result = evaluate(run, suite, heard, baselines=baselines, overrides=overrides)
        reporter.close(ok=result.ok)
    if not request.json:
        report_findings(result.findings, request.style, terminal)
        if result.evaluation is not None:
            lines = [terminal.style(str(run), "strong"), "", *evaluation_lines(result.evaluation, terminal)]
            terminal.lines([*lines, "", f"kept in {terminal.style(str(result.directory), 'accent')}"])
    return result


def code_of(result: EvalResult) -> int:
    """The exit code of one run."""
    if result.stopped:
        return STOPPED
    return GATE_FAILED if result.gates_failed else exit_code(result.findings)


def json_of(result: EvalResult) -> dict[str, Any]:
    """One run's entry of `results`."""
    from ftc.diagnostics.json import to_json

    return {
        "run": str(result.path),
        "ok": result.ok and not result.gates_failed,
        "findings": [to_json(finding) for finding in result.findings],
        "directory": None if result.directory is None else str(result.directory),
        "evaluation": result.evaluation,
    }
