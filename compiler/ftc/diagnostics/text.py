"""Findings as text: in full, with the source line and a caret under the mistake, or on one line."""

from __future__ import annotations

import re
import unicodedata
from textwrap import wrap

from ftc.diagnostics.findings import Finding, Severity, Span
from ftc.diagnostics.secrets import masked, scrubbed

_TAB = "    "
HEAD_INDENT = 4
"""Blanks before the second line of a message that is longer than the terminal is wide."""
_COLORS = {Severity.ERROR: "31", Severity.WARNING: "33", Severity.NOTE: "36"}
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\ufffe\uffff\U000e0000-\U000e007f]"
)


class _Paint:
    """Wraps text in terminal colours, or leaves it as it is."""

    def __init__(self, finding: Finding, *, color: bool) -> None:
        self.color = color
        self.tone = _COLORS[finding.severity]

    def mark(self, text: str) -> str:
        return self._in(f"1;{self.tone}", text)

    def bold(self, text: str) -> str:
        return self._in("1", text)

    def frame(self, text: str) -> str:
        return self._in("1;34", text)

    def _in(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.color and text else text


def render(finding: Finding, *, color: bool, width: int = 80) -> str:
    """A finding in rustc's style over several lines, no wider than `width` where words allow.

    Text from outside is shown harmless: control characters appear as escapes and never act.
    """
    paint = _Paint(finding, color=color)
    name = f"{finding.severity.value}[{finding.code}]"
    first, *more = _head(f"{name}: {_safe(finding.message)}", width)
    head = paint.mark(name) + paint.bold(first.removeprefix(name))
    span = finding.span
    number = str(span.source.position(span.start)[0]) if span else ""
    margin = " " * len(number)
    lines = [head, *(" " * HEAD_INDENT + paint.bold(line) for line in more)]
    if span:
        lines += [margin + paint.frame("--> ") + _safe(span.place)]
        lines += _excerpt(finding, span, paint, number=number, width=width)
    if finding.place:
        lines.append(margin + paint.frame("::: " if span else " --> ") + _safe(finding.place))
    remarks = [("help", text) for text in finding.help] + [("note", text) for text in finding.notes]
    if span and remarks:
        lines.append(margin + paint.frame(" |"))
    for word, text in remarks:
        lines += _remark(word, text, margin, paint, width)
    return "\n".join(lines)


def render_concise(finding: Finding) -> str:
    """A finding on one line, in the form that editors jump to."""
    place = finding.span.place if finding.span else finding.place
    head = f"{_safe(place)}: " if place else ""
    return f"{head}{finding.severity.value}[{finding.code}]: {_safe(finding.message)}"


def _excerpt(finding: Finding, span: Span, paint: _Paint, *, number: str, width: int) -> list[str]:
    margin = " " * len(number)
    bar = paint.frame("|")
    line, start, end = _marked_cells(span)
    room = max(20, width - len(number) - 3)
    line, start, end = _window(line, start, end, room)
    carets = "^" * max(1, end - start)
    label = f" {_safe(finding.label)}" if finding.label else ""
    shown = f"{margin} {bar} {' ' * start}{paint.mark(carets + label)}"
    return [f"{margin} {bar}", f"{paint.frame(number)} {bar} {line}".rstrip(), shown]


def _marked_cells(span: Span) -> tuple[str, int, int]:
    """The first line of a span as shown, and the columns on the screen from and to which it is marked."""
    row, column = span.source.position(span.start)
    line = masked(span.source.line(row))
    length = min(span.end - span.start, len(line) - column + 1)
    before, marked = line[: column - 1], line[column - 1 : column - 1 + max(length, 0)]
    start = cells(_visible(before))
    return _visible(line), start, start + cells(_visible(marked))


def _window(line: str, start: int, end: int, room: int) -> tuple[str, int, int]:
    """The part of a long line around its marked cells, with an ellipsis where it is cut."""
    if cells(line) <= room:
        return line, start, end
    first = 0 if end < room else max(0, start - room // 3)
    characters: list[str] = []
    at, shown_from = 0, None
    for character in line:
        step = cells(character)
        if at >= first + (first > 0) and at + step <= first + room - 1:
            shown_from = at if shown_from is None else shown_from
            characters.append(character)
        at += step
    lead = "…" if first else ""
    shift = (shown_from or 0) - len(lead)
    tail = "…" if first + room - 1 < cells(line) else ""
    return lead + "".join(characters) + tail, start - shift, min(end - shift, room)


def _remark(word: str, text: str, margin: str, paint: _Paint, width: int) -> list[str]:
    lead = f"{margin} {paint.frame('=')} {paint.bold(word)}: "
    indent = len(margin) + len(word) + 5
    lines = [
        piece
        for line in text.splitlines() or [""]
        for piece in _wrapped(_visible(_safe(line)), width - indent)
    ]
    return [lead + lines[0], *(" " * indent + line for line in lines[1:])]


def _head(text: str, width: int) -> list[str]:
    """The message in lines, all but the first of which are set in."""
    if cells(text) <= width:
        return [text]
    lead = " " * HEAD_INDENT
    room = max(20, width)
    lines = wrap(text, room, subsequent_indent=lead, break_long_words=False, break_on_hyphens=False)
    return [line.removeprefix(lead) for line in lines]


def _wrapped(line: str, room: int) -> list[str]:
    """A line of prose broken at spaces; indented lines are code and stay whole."""
    if line.startswith("  ") or cells(line) <= room:
        return [line]
    return wrap(line, max(20, room), break_long_words=False, break_on_hyphens=False) or [""]


def _safe(text: str) -> str:
    """Text in which control and direction characters appear as escapes instead of acting."""
    return _INVISIBLE.sub(lambda match: _escape(match.group()), scrubbed(text).replace("\n", " "))


def _visible(line: str) -> str:
    """A source line as it is shown: tabs as four blanks, and nothing that acts on a terminal."""
    return _safe(line).replace("\t", _TAB)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def cells(text: str) -> int:
    """How many columns of a terminal a text takes: wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(map(_cell, text))


def _cell(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf") or "\u1160" <= character <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
