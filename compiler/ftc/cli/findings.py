"""Findings and results on their way out: as text for people, and inside JSON documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ftc import __version__
from ftc.cli.layout import plural
from ftc.cli.options import Style
from ftc.cli.terminal import Terminal
from ftc.diagnostics import Finding, Severity, has_errors


def _shown(findings: Sequence[Finding], terminal: Terminal) -> list[Finding]:
    return [f for f in findings if not terminal.quiet or f.severity is Severity.ERROR]


def findings_text(findings: Sequence[Finding], style: Style, *, color: bool, width: int) -> str:
    """All findings as text: blocks with a blank line between them, or one line each."""
    from ftc.diagnostics.text import render, render_concise

    if style == "concise":
        return "\n".join(render_concise(finding) for finding in findings)
    return "\n\n".join(render(finding, color=color, width=width).rstrip("\n") for finding in findings)


def report_findings(
    findings: Sequence[Finding], style: Style, terminal: Terminal, *, err: bool = True
) -> None:
    """Write findings, to standard error unless they are what the command was asked for."""
    shown = _shown(findings, terminal)
    if not shown:
        return
    color = terminal.color_err if err else terminal.color_out
    text = findings_text(shown, style, color=color, width=terminal.width)
    write = terminal.err if err else terminal.out
    write(text if style == "concise" else text + "\n")


def counted(findings: Sequence[Finding]) -> str:
    """`2 errors, 1 warning`; empty where there is neither."""
    counts = [(sum(f.severity is s for f in findings), s.value) for s in (Severity.ERROR, Severity.WARNING)]
    return ", ".join(plural(count, word) for count, word in counts if count)


def result_json(path: Path, findings: Sequence[Finding], more: Mapping[str, Any]) -> dict[str, Any]:
    """One recipe's entry of `results`."""
    from ftc.diagnostics.json import to_json

    listed = [to_json(finding) for finding in findings]
    return {"recipe": str(path), "ok": not has_errors(findings), "findings": listed, **more}


def document(command: str, results: Sequence[Mapping[str, Any]], *, error: str = "") -> dict[str, Any]:
    """The one shape of every `--json`: what ran, whether all is well, and a list of results.

    `error` says what kept the command from having results: a wrong command line, or ftc itself.
    """
    ok = not error and all(result["ok"] for result in results)
    shape = {"ftc": __version__, "command": command, "ok": ok, "results": list(results)}
    return {**shape, "error": error} if error else shape
