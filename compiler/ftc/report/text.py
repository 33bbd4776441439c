"""Untrusted text on a page: control characters by their numbers, and never longer than a bound."""

from __future__ import annotations

import re
from typing import Any

from markupsafe import Markup, escape

from ftc.cli.example_view import NEWLINE, TAB
from ftc.cli.terminal import UNSAFE

LONGEST = 4000
"""Characters of a text that a page shows."""

WIDEST_ID = 100
"""Characters of a row's id that a page shows."""

LINE_END, TAB_MARK = Markup("<b>{}</b>\n").format(NEWLINE), Markup("<b>{}</b>").format(TAB)
_UNSAFE = re.compile(f"[{UNSAFE}]")


def visible(text: str) -> str:
    """A text with escape sequences, marks of direction and other control characters made visible."""
    return _UNSAFE.sub(lambda found: f"<U+{ord(found[0]):04X}>", text)


def finalize(value: Any) -> Any:
    """What the template prints of a value: text made visible, markup as it is, nothing of None."""
    if value is None:
        return ""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def shown(text: str) -> Markup:
    """A text as it stands in examples: line ends and tabs are seen, too."""
    marked = visible(text.replace("\n", f"{NEWLINE}\n").replace("\t", TAB))
    ends = escape(marked).replace(f"{NEWLINE}\n", LINE_END)
    return ends.replace(TAB, TAB_MARK)


def coded(text: str) -> Markup:
    """A sentence of ftc's own, in which what stands between backticks is code; not for what rows say."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(visible(text))
    codes = (Markup("<code>{}</code>") if place % 2 else Markup("{}") for place in range(len(parts)))
    return Markup().join(code.format(visible(part)) for code, part in zip(codes, parts, strict=True))


def clipped(text: str, most: int = LONGEST) -> tuple[str, int]:
    """The beginning of a text, and how many characters of it are left out."""
    return text[:most], max(0, len(text) - most)
