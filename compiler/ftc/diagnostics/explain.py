"""The long form of each diagnostic, as `ftc explain` prints it."""

from __future__ import annotations

from importlib.resources import files

from ftc.diagnostics.codes import CODES


def explanation(code: str) -> str | None:
    """The Markdown page of a code such as `FTC102` (case does not matter), or None for an unknown one."""
    name = code.strip().upper()
    if name not in CODES:
        return None
    return files("ftc.diagnostics").joinpath("explain", f"{name}.md").read_text("utf-8")
