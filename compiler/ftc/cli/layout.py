"""Text on a grid: display width, wrapping, labelled fields and aligned tables."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from ftc.diagnostics.text import cells

LABEL = 11
"""Columns of the label in front of a field."""

_STYLE = re.compile("\x1b\\[[0-9;]*m")


def display_width(text: str) -> int:
    """Terminal columns that a line takes: wide characters count 2, combining ones and styles 0."""
    return cells(_STYLE.sub("", text))


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Text filled with spaces to a display width."""
    space = " " * max(0, width - display_width(text))
    return space + text if right else text + space


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns; words longer than that stay whole (paths must be copyable)."""
    return textwrap.wrap(
        text, max(width, 20), break_long_words=False, break_on_hyphens=False, drop_whitespace=True
    )


def clip(text: str, width: int, *, strip: bool = True) -> str:
    """The first line of a text, cut to `width` columns with an ellipsis if something is left out.

    Space around it goes unless `strip` is false.
    """
    first, _, rest = (text.strip() if strip else text).partition("\n")
    if not rest and display_width(first) <= width:
        return first
    while display_width(first) > width - 1:
        first = first[:-1]
    return first.rstrip() + "…"


def number(value: int) -> str:
    """A count with thousands separated."""
    return f"{value:,}"


def plural(count: int, word: str) -> str:
    """A count and its word: `1 row`, `2,000 rows`."""
    return f"{number(count)} {word}{'' if count == 1 else 's'}"


def percent(part: float, whole: float) -> str:
    """A share in percent, with one decimal where that says something."""
    share = round(100 * part / whole, 1) if whole else 0.0
    return f"{share:.0f} %" if share >= 10 or share == 0 else f"{share:.1f} %"


def size(count: int) -> str:
    """A number of bytes for people."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def duration(seconds: float) -> str:
    """A time for people: `42 s`, `3:05 min`, `1:02 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole // 60 % 60:02d} h"


def table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Rows of cells in aligned columns two spaces apart; the columns numbered in `right` align right."""
    if not rows:
        return []
    widths = [max(display_width(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(pad(cell, widths[index], right=index in right) for index, cell in enumerate(row)).rstrip()
        for row in rows
    ]
