"""`ftc verify`: whether finished runs are what was built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ftc.cli.options import Request, allow_option, epilog, json_option, style_option, terminal_options
from ftc.cli.status import FINE, RECIPE_WRONG
from ftc.cli.terminal import Terminal

if TYPE_CHECKING:
    from ftc.jobs.verifying import Rebuild, VerifyResult

DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(
    "verify",
    epilog=epilog(
        "ftc verify runs/tickets/4f1c9a0e5b7d2c88",
        "ftc verify RUN --rebuild          builds it once more, and compares",
        "ftc verify RUN --key release.pub  its signature too",
    ),
)
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=DIRECTORY)
@click.option(
    "--rebuild", is_flag=True, help="Build the run once more in an empty directory, and compare every byte."
)
@click.option(
    "--inputs",
    type=DIRECTORY,
    metavar="DIR",
    help="With --rebuild: where the recipe's paths begin; the directory above `runs` by default.",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="With --rebuild: build in this directory, and keep what was built.",
)
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Check the signature that `ftc sign` wrote with this public key.",
)
@allow_option
@style_option
@json_option
@terminal_options
def command(  # noqa: PLR0913 - one for each option
    terminal: Terminal,
    runs: tuple[Path, ...],
    *,
    rebuild: bool,
    inputs: Path | None,
    keep: Path | None,
    key: Path | None,
    style: Any,
    json: bool,
) -> int:
    """Check that finished runs are what was built.

    Reads every file again and compares it with MANIFEST.sha256 and BUILD.sha256, and names files that
    neither lists. Holds plan.json to the directory's name, recipe.lock, the ledger, the compiled rows and
    provenance.json to the plan, and the weights to the modules of the base model. Needs no network.

    With --rebuild the plan is made anew from the run's own recipe and lock, with an empty cache, and built in
    an empty directory: weights and compiled rows must be the same to the byte. Inputs that are missing here
    or are others than those of the run are named.

    --json prints {"ftc", "command", "ok", "results": [{"run", "ok", "findings", "checks": [{"title", "ok",
    "said", "open"}, ...]}, ...]}, one result a run.
    """
    from ftc.cli.findings import document, report_findings

    if (inputs is not None or keep is not None) and not rebuild:
        raise click.UsageError("--inputs and --keep belong to --rebuild")
    if keep is not None and (len(runs) > 1 or (keep.is_dir() and any(keep.iterdir()))):
        raise click.UsageError("--keep takes an empty directory, for one run")
    request = Request((), (), json, style, terminal)
    results = [_verified(run, request, inputs, keep, key, rebuild=rebuild) for run in runs]
    if json:
        terminal.document(document("verify", [_json(result) for result in results]))
    else:
        for result in results:
            terminal.lines(_lines(result, terminal))
            report_findings(result.findings, style, terminal)
    return FINE if all(result.ok for result in results) else RECIPE_WRONG


def _verified(
    run: Path, request: Request, inputs: Path | None, keep: Path | None, key: Path | None, *, rebuild: bool
) -> VerifyResult:
    from ftc.cli.progress import open_reporter
    from ftc.jobs.verifying import Rebuild, verify_run

    if not rebuild:
        return verify_run(run, key=key)
    with open_reporter(request, building=True) as reporter:
        how: Rebuild = Rebuild(inputs, keep, reporter.data, reporter.event)
        result = verify_run(run, key=key, rebuild=how)
        reporter.close(ok=result.ok)
    return result


def _lines(result: VerifyResult, terminal: Terminal) -> list[str]:
    """What was looked at, line by line, and what came of it."""
    name = terminal.style(str(result.run), "strong")
    told = ("is what was built", "good") if result.ok else ("is not what was built", "error")
    lines = [f"{name}  {terminal.style(*told)}"]
    if terminal.quiet:
        return lines if not result.ok else []
    width = max((len(check.title) for check in result.checks), default=0)
    for check in result.checks:
        text = _told(check.said if not check.findings else _count(len(check.findings)), check.open)
        shown = terminal.style(text, "error" if check.findings else "dim")
        lines.append(f"  {check.title:<{width}}  {shown}")
    return [*lines, ""]


def _told(said: str, open_: str) -> str:
    return "; ".join(part for part in (said, open_) if part)


def _count(number: int) -> str:
    return "1 finding" if number == 1 else f"{number} findings"


def _json(result: VerifyResult) -> dict[str, Any]:
    from ftc.diagnostics.json import to_json

    checks = [
        {"title": one.title, "ok": not one.findings, "said": one.said, "open": one.open}
        for one in result.checks
    ]
    findings = [to_json(finding) for finding in result.findings]
    return {"run": str(result.run), "ok": result.ok, "findings": findings, "checks": checks}
