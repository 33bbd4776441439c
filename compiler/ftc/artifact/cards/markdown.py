"""Markdown of what others wrote: whatever stands in data, names and reasons stays plain text in a card."""

from __future__ import annotations

import re
from collections.abc import Iterable

_HIDDEN = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f"
)
"""Characters that cannot be seen, end a line, or change the order of those around them."""

_CONTROL = re.compile(f"[{_HIDDEN}]")
_BLANK = re.compile(r"\s+")
_MARKS = re.compile(r"([\\`*_\[\]#~@]|:(?=//)|(?<=www)\.)")
_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_FENCE = re.compile(r"^(\s*)(`{3}|~{3})", re.MULTILINE)
_SPAN = re.compile(r"[`|\\]")
_NAMED = re.compile(r"[^A-Za-z0-9 .,=-]")


def visible(text: str) -> str:
    """A text on one line, without characters that hide or reorder others."""
    return _BLANK.sub(" ", _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)).strip()


def plain(text: str) -> str:
    """Text on one line which no Markdown, HTML or automatic link is made of."""
    return _MARKS.sub(r"\\\1", visible(text).translate(_HTML))


def code(text: str) -> str:
    """Text on one line as code; where a code span could not hold it, by the name of each character."""
    shown = visible(text)
    if shown and not _SPAN.search(shown):
        return f"`{shown}`"
    return f"<code>{_NAMED.sub(lambda one: f'&#{ord(one[0])};', shown)}</code>"


def prose(text: str) -> str:
    """Paragraphs that the recipe's author wrote: Markdown counts, HTML and open fences do not."""
    lines = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text).strip().replace("<", "&lt;")
    return _FENCE.sub(lambda mark: mark[1] + "".join(f"\\{one}" for one in mark[2]), lines) + "\n"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of cells that are Markdown already; what stands in them is on one line."""
    cells = [list(head), *(list(row) for row in rows)]
    cells.insert(1, ["---"] * len(cells[0]))
    escaped = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in cells]
    return "".join("| " + " | ".join(row) + " |\n" for row in escaped)


def sections(parts: Iterable[tuple[str, str]]) -> str:
    """Parts under their titles, those that are empty left out."""
    return "".join(f"\n## {title}\n\n{text}" for title, text in parts if text)
