"""What metrics find wrong before anything runs: a library that is missing, an option that does not fit."""

from __future__ import annotations

import re
from importlib.util import find_spec

from ftc.diagnostics import Finding

Findings = tuple[Finding, ...]


def library(module: str, package: str, metric: str) -> Findings:
    """FTC570 where a package that a metric needs is not installed; nothing is imported."""
    if find_spec(module) is not None:
        return ()
    return (
        Finding(
            "FTC570",
            f"the metric {metric} needs the package {package}, which is not installed",
            help=(f'install it: pip install "ftc[eval]", or pip install {package}',),
        ),
    )


def needed(metric: str, key: str, example: str) -> Findings:
    """FTC571: a metric's option is not given, and not a column of the rows either."""
    help_lines = (f"write {example} in the same [[eval]] table", f"or return a column `{key}` from its query")
    return (Finding("FTC571", f"the metric {metric} needs `{key}`", help=help_lines),)


def unusable(key: str, why: str, *help_lines: str) -> Findings:
    """FTC572: an option has a value that its metric cannot use."""
    return (Finding("FTC572", f"`{key}` cannot be used: {why}", help=help_lines),)


def pattern(text: str) -> Findings:
    """FTC572 where a text is not a regular expression of Python."""
    try:
        re.compile(text)
    except re.error as error:
        where = "" if error.pos is None else f", at character {error.pos + 1}"
        return unusable("pattern", f"{error.msg}{where}", "correct the regular expression")
    return ()


def judge(why: str, *help_lines: str) -> Findings:
    """FTC576: the judge cannot be asked as it is set up."""
    return (Finding("FTC576", f"the judge cannot be asked: {why}", help=help_lines),)
