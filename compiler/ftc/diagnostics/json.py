"""Findings as JSON, for editors and other programs."""

from __future__ import annotations

from typing import Any

from ftc.diagnostics.findings import Finding, Span
from ftc.diagnostics.secrets import scrubbed


def to_json(finding: Finding) -> dict[str, Any]:
    """A finding as plain data; lines and columns count from 1 in characters, and are null without a span."""
    return {
        "code": finding.code,
        "severity": finding.severity.value,
        "message": scrubbed(finding.message),
        **_position(finding.span),
        "label": finding.label,
        "help": [scrubbed(line) for line in finding.help],
        "notes": [scrubbed(line) for line in finding.notes],
        "place": finding.place,
    }


def _position(span: Span | None) -> dict[str, Any]:
    if span is None:
        return dict.fromkeys(("file", "line", "column", "end_line", "end_column"))
    line, column = span.source.position(span.start)
    end_line, end_column = span.source.position(span.end)
    return {
        "file": span.source.name,
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
    }
