"""Exit codes, and how findings become one."""

from __future__ import annotations

from collections.abc import Iterable

from ftc.diagnostics import Finding, Severity

FINE = 0
RECIPE_WRONG = 1
USAGE = 2
FAILED = 3
GATE_FAILED = 4
STOPPED = 130
CLOSED = 141
"""Nobody reads our output any more: what a shell reports for SIGPIPE."""

FAILURES = ("FTC7", "FTC9")
"""Codes that speak of the machine or of ftc, not of the recipe."""

EXIT_CODES = (
    "Exit codes: 0 fine, 1 the recipe is wrong, 2 the command line is wrong, "
    "3 the build (or ftc itself) failed, 4 a gate failed, 130 stopped by Ctrl-C."
)


def exit_code(findings: Iterable[Finding]) -> int:
    """The exit code of a recipe's findings; what the recipe's author must mend comes first."""
    codes = [finding.code for finding in findings if finding.severity is Severity.ERROR]
    if not codes:
        return FINE
    return FAILED if all(code.startswith(FAILURES) for code in codes) else RECIPE_WRONG
