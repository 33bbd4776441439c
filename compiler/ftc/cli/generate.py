"""`ftc generate`: a finished run's model answers many prompts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ftc.cli.options import Request, epilog, style_option, terminal_options
from ftc.cli.status import FINE, exit_code

if TYPE_CHECKING:
    from ftc.cli.options import Style
    from ftc.cli.terminal import Terminal
    from ftc.diagnostics import Finding
    from ftc.jobs.opening import OpenRun
    from ftc.jobs.speaking import Answer, Prompt, Settings

TOLD = 20
"""Findings of rows that are shown at most."""


@click.command(
    "generate",
    epilog=epilog(
        "ftc generate runs/tickets/4f1c9a0e5b7d2c88 --prompts new.jsonl --out a.jsonl",
        "head -3 new.jsonl | ftc generate runs/tickets/4f1c9a0e5b7d2c88 --base",
    ),
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--prompts", default="-", metavar="FILE|-", help="JSON Lines; - is standard input.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the answers go; else standard output.")
@click.option("--base", is_flag=True, help="Ask the model as it was before training.")
@click.option(
    "--max-tokens", "longest", default=512, show_default=True, type=click.IntRange(min=1), metavar="N"
)
@click.option(
    "--temperature", default=0.0, show_default=True, type=click.FloatRange(min=0), help="0: the likeliest."
)
@click.option("--top-p", default=1.0, show_default=True, type=click.FloatRange(min=0, max=1, min_open=True))
@click.option("--seed", default=0, show_default=True, help="Decides answers that are drawn.")
@style_option
@terminal_options
def command(
    terminal: Terminal, run: Path, *, prompts: str, out: Path | None, style: Style, **given: Any
) -> int:
    """Answer many prompts, the same way each time.

    A row has `messages`, or a `prompt`, or the columns that the recipe's [render] reads; it is rendered as
    training would have. Each answer is a line {"line", "row", "answer", "tokens", "ended"}, in the order of
    the prompts; `ended` is "stop" where the model ended it, "length" where --max-tokens did.
    """
    from ftc.cli.findings import report_findings
    from ftc.diagnostics import Finding
    from ftc.jobs.opening import opened
    from ftc.jobs.speaking import Settings, cannot_write
    from ftc.launch.writer import WriterFailed

    found = opened(run)
    findings = (found,) if isinstance(found, Finding) else _wrong(cannot_write(found))
    if findings or isinstance(found, Finding):
        report_findings(findings, style, terminal)
        return exit_code(findings)
    rows, wrong = _prompts(found, prompts)
    place = found.base() if rows and not wrong else None
    wrong += [place] if isinstance(place, Finding) else []
    if wrong:
        report_findings(wrong[:TOLD], style, terminal)
        return exit_code(wrong)
    if not isinstance(place, Path):
        raise click.UsageError(f"there is no prompt in {prompts}")
    request = Request((), (), json=out is None, style=style, terminal=terminal)
    settings = Settings(**given)
    try:
        _write(found, place, rows, settings, request, out)
    except WriterFailed as failed:
        report_findings((failed.finding,), style, terminal)
        return exit_code((failed.finding,))
    return FINE


def _wrong(finding: Finding | None) -> tuple[Finding, ...]:
    return () if finding is None else (finding,)


def _lines(name: str) -> Iterator[str]:
    if name == "-":
        yield from sys.stdin
        return
    try:
        with Path(name).open(encoding="utf-8") as file:
            yield from file
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{name} cannot be read: {error}") from error


def _prompts(run: OpenRun, name: str) -> tuple[list[tuple[int, Prompt]], list[Finding]]:
    """The prompts by the number of their line, and what is wrong with others."""
    from ftc.diagnostics import Finding
    from ftc.jobs.speaking import NoPrompt, prompt_of, read_rows

    good: list[tuple[int, Prompt]] = []
    wrong: list[Finding] = []
    for number, row in read_rows(_lines(name)):
        if isinstance(row, str):
            wrong.append(Finding("FTC773", f"line {number}: {row}", place=name))
            continue
        try:
            good.append((number, prompt_of(run, row)))
        except NoPrompt as problem:
            wrong.append(Finding("FTC773", f"line {number}: {problem}", place=name))
    return good, wrong


def _write(
    run: OpenRun,
    base: Path,
    rows: list[tuple[int, Prompt]],
    settings: Settings,
    request: Request,
    out: Path | None,
) -> None:
    from ftc.artifact.files import whole_file
    from ftc.cli.progress import open_reporter
    from ftc.jobs.speaking import answered

    numbers, terminal = [number for number, _ in rows], request.terminal
    with open_reporter(request) as reporter:
        answers = answered(run, base, [prompt for _, prompt in rows], settings, reporter.data)
        lines = (_line(number, answer) for number, answer in zip(numbers, answers, strict=True))
        if out is None:
            for line in lines:
                terminal.part(line)
        else:
            with whole_file(out) as file:
                file.writelines(line.encode() for line in lines)
        reporter.close(ok=True)
    if out is not None and not terminal.quiet:
        terminal.err(f"{len(rows)} answers in {out}")


def _line(number: int, answer: Answer) -> str:
    line: dict[str, Any] = {"line": number, "row": answer.prompt.row, "answer": answer.text}
    line |= {"tokens": answer.tokens, "ended": answer.ended}
    return json.dumps(line) + "\n"
