"""`ftc calibrate`: measure how fast this machine trains."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from ftc.cli.status import FAILED, RECIPE_WRONG, STOPPED, exit_code
from ftc.cli.terminal import Terminal

if TYPE_CHECKING:
    from ftc.jobs.calibrating import CalibrateResult


@click.command("calibrate", epilog=epilog("ftc calibrate recipe.toml", "ftc calibrate"))
@click.argument("recipe", required=False, metavar="[RECIPE]", type=click.Path(path_type=Path))
@set_option("Override a setting, as in --set train.micro_batch=4; may be repeated.")
@allow_option
@style_option
@json_option
@terminal_options
def command(
    terminal: Terminal,
    recipe: Path | None,
    *,
    overrides: tuple[str, ...],
    style: Style,
    json: bool,
) -> int:
    """Measure how fast this machine trains.

    Runs a few real steps of the recipe's model and tuning on its rows, some batches of its evaluation, and
    times loading and saving; without a recipe it does so with a small model of random weights. Nothing is
    trained for good. What is measured is kept for this machine, and `ftc plan` predicts times by it from then
    on, until the number of threads or the version of PyTorch changes.

    --json prints {"ftc", "command", "ok", "results": [{"recipe", "ok", "findings", "status", "calibration",
    "duration"}]}; progress goes to standard error.
    """
    from ftc.cli.findings import document, report_findings
    from ftc.cli.progress import open_reporter
    from ftc.jobs.calibrating import calibrate

    path = recipe / DEFAULT_RECIPE if recipe is not None and recipe.is_dir() else recipe
    request = Request((path,) if path else (), overrides, json, style, terminal)
    with open_reporter(request, building=True) as reporter:
        result = calibrate(path, set=overrides, progress=reporter.data, on_event=reporter.event)
        reporter.close(ok=result.ok)
    if json:
        terminal.document(document("calibrate", [_json(result)]))
    else:
        report_findings(result.findings, style, terminal)
        if result.ok:
            _print(result, terminal)
    return _code(result)


def _code(result: CalibrateResult) -> int:
    if result.status == "stopped":
        return STOPPED
    if result.status == "failed":
        return FAILED
    return exit_code(result.findings) if result.ok else max(exit_code(result.findings), RECIPE_WRONG)


def _print(result: CalibrateResult, terminal: Terminal) -> None:
    from ftc.cli.calibration_view import calibration_lines

    terminal.lines(calibration_lines(result, terminal))


def _json(result: CalibrateResult) -> dict[str, Any]:
    from ftc.cli.calibration_view import duration_json
    from ftc.cli.findings import result_json

    found = result.calibration
    more = {
        "status": result.status,
        "calibration": None if found is None else found.model_dump(mode="json"),
        "duration": None if result.duration is None else duration_json(result.duration),
    }
    shown = result_json(result.path or Path(), result.findings, more)
    return {**shown, "recipe": None if result.path is None else str(result.path), "ok": result.ok}
