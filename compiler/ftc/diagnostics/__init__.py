"""Findings: what ftc has to say about a recipe, its data or a run, and where."""

from ftc.diagnostics.findings import Finding, Severity, Source, Span, has_errors, sort_findings

__all__ = ["Finding", "Severity", "Source", "Span", "has_errors", "sort_findings"]
