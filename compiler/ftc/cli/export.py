"""`ftc export`: a finished run's model in the form that others read, checked against the run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ftc.cli.options import Request, epilog, json_option, style_option, terminal_options
from ftc.cli.status import FINE, exit_code

if TYPE_CHECKING:
    from ftc.cli.options import Style
    from ftc.cli.terminal import Terminal
    from ftc.export.work import Options
    from ftc.jobs.exporting import ExportResult

NAMES = ("merged", "adapter", "gguf", "ollama", "vllm", "hub")


@click.command(
    "export",
    epilog=epilog(
        "ftc export runs/tickets/4f1c9a0e5b7d2c88 --to ollama --quantise q8_0",
        "ftc export runs/tickets/4f1c9a0e5b7d2c88 --to hub --repo me/tickets --push",
    ),
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--to", required=True, type=click.Choice(NAMES), help="The form to export to.")
@click.option("--out", type=click.Path(path_type=Path), help="The directory; by default beside the run.")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    help="Precision of merged weights; by default the one that was trained in.",
)
@click.option(
    "--quantise",
    type=click.Choice(["f32", "f16", "bf16", "q8_0"]),
    help="How a GGUF file stores weights; by default 16 bits.",
)
@click.option("--repo", metavar="OWNER/NAME", help="The repository of --to hub.")
@click.option("--push", is_flag=True, help="Upload with --to hub; without it the files are only listed.")
@click.option("--private", is_flag=True, help="Make the repository private if it is a new one.")
@style_option
@json_option
@terminal_options
def command(
    terminal: Terminal, run: Path, *, out: Path | None, style: Style, json: bool, **asked: Any
) -> int:
    """Export a finished run's model, and check that the export is what was trained.

    An export is kept only if its checks hold; export.json in it says what was compared, with the figures.

    --json prints {"ftc", "command", "ok", "results": [{"run", "to", "ok", "findings", "directory",
    "report"}]}.
    """
    from ftc.export.work import Options

    options = Options(**asked)
    _contradictions(options)
    request = Request((), (), json, style, terminal)
    result = _exported(run, options, out, request)
    if json:
        from ftc.cli.findings import document

        terminal.document(document("export", [_json(result)]))
    return FINE if result.ok else exit_code(result.findings)


def _contradictions(options: Options) -> None:
    """Raise UsageError where an option says nothing to the target."""
    to = options.to
    if options.dtype is not None and to not in ("merged", "vllm", "hub"):
        raise click.UsageError(f"--dtype is for --to merged, vllm and hub, not {to}")
    if options.quantise is not None and to not in ("gguf", "ollama"):
        raise click.UsageError(f"--quantise is for --to gguf and ollama, not {to}")
    if to != "hub" and (options.repo is not None or options.push or options.private):
        raise click.UsageError("--repo, --push and --private are for --to hub")
    if to == "hub" and options.repo is None:
        raise click.UsageError("--to hub needs --repo OWNER/NAME")


def _exported(run: Path, options: Options, out: Path | None, request: Request) -> ExportResult:
    from ftc.cli.findings import report_findings
    from ftc.jobs.exporting import export

    terminal = request.terminal
    quiet = terminal.quiet or request.json
    result = export(run, options, out, (lambda _: None) if quiet else terminal.err)
    if not request.json:
        report_findings(result.findings, request.style, terminal)
        if result.ok:
            terminal.lines(_lines(result, terminal))
    return result


def _lines(result: ExportResult, terminal: Terminal) -> list[str]:
    assert result.report is not None  # noqa: S101 - it is there with the directory
    was = "is there already, and checked" if result.there else "is made and checked"
    lines = [f"{terminal.style(result.to, 'strong')} {was}", ""]
    for choice in result.report["choices"]:
        lines += _wrapped(f"{choice['name']} = {choice['value']}: {choice['reason']}", terminal.width)
    for check in result.report["checks"]:
        mark = terminal.style("ok", "good")
        first, *rest = _wrapped(f"{check['name']}: {check['said']}", terminal.width - 4)
        lines += [f"  {mark}{first}", *(f"    {line}" for line in rest)]
    told = [terminal.style(line, "accent") for line in result.lines]
    return [*lines, "", *told, f"kept in {terminal.style(str(result.directory), 'accent')}"]


def _wrapped(text: str, width: int) -> list[str]:
    from textwrap import wrap

    return wrap(text, width, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)


def _json(result: ExportResult) -> dict[str, Any]:
    from ftc.diagnostics.json import to_json

    return {
        "run": str(result.run),
        "to": result.to,
        "ok": result.ok,
        "findings": [to_json(finding) for finding in result.findings],
        "directory": None if result.directory is None else str(result.directory),
        "report": result.report,
    }
