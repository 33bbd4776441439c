"""Cut a text into documents: every character is in one of them, but white space between them is left out."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

By = Literal["file", "heading", "paragraph", "line"]

HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(?P<text>.*?)(?:[ \t]+#+)?[ \t]*$")
FENCE = re.compile(r"^ {0,3}(?P<marks>`{3,}|~{3,})(?P<rest>.*)$")
MARKS = frozenset("#`~ ")
"""How a line begins that may be a heading or a fence."""

BLANK_START = re.compile(r"\A(?:[^\S\n\r]*(?:\r\n|\n|\r))+")
BREAKS = (re.compile(r"(?:\r\n|\n|\r)[^\S\n\r]*(?:\r\n|\n|\r)"), re.compile(r"\r\n|\n|\r"), re.compile(r"\s"))
"""Where a text that is too long is cut, best first: behind a blank line, a line break, white space."""


@dataclass(frozen=True)
class Rule:
    """Where documents begin, and how many characters one has at most (None: any number)."""

    by: By = "file"
    characters: int | None = None

    def __str__(self) -> str:
        """The rule in words."""
        unit, begins = UNITS[self.by]
        if self.characters is None:
            return f"{begins}; {LEFT_OUT}" if self.by != "file" else begins
        gathered = (
            f"{unit}s are gathered up to {self.characters:,} characters; " if self.by in GATHERED else ""
        )
        cut = (
            f"a longer {unit} is cut behind the last blank line, else line break, else space in the second "
            f"half of its first {self.characters:,} characters, else there"
        )
        return f"{begins}; {gathered}{cut}; {LEFT_OUT}"


GATHERED = ("paragraph", "line")
UNITS: dict[str, tuple[str, str]] = {
    "file": ("file", "each file is one document"),
    "heading": ("section", "a document begins at each heading (`#` to `######`, outside fenced code)"),
    "paragraph": ("paragraph", "a document begins behind each blank line"),
    "line": ("line", "each line is one document"),
}
LEFT_OUT = "white space between documents is left out, and so are files of nothing else"


@dataclass(frozen=True, slots=True)
class Chunk:
    """A document, the heading under which it begins, and the stretch of the text that it stands for."""

    text: str
    heading: str | None
    raw: str


@dataclass
class _Unit:
    """A stretch of text in parts, and the headings in it by the offset at which they begin."""

    parts: list[str] = field(default_factory=list)
    length: int = 0
    headings: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: str, heading: str | None) -> None:
        if heading is not None:
            self.headings.append((self.length, heading))
        self.parts.append(line)
        self.length += len(line)

    def join(self, other: _Unit) -> None:
        self.headings += [(self.length + at, heading) for at, heading in other.headings]
        self.parts += other.parts
        self.length += other.length


def chunks(lines: Iterable[str], rule: Rule) -> Iterator[Chunk]:
    """The documents of one text, given by its lines with their line breaks; one unit in memory at a time."""
    above: str | None = None
    for unit in _gathered(_units(lines, rule.by), rule):
        text_of_unit = "".join(unit.parts)
        for start, end in _cuts(text_of_unit, rule.characters):
            raw = text_of_unit[start:end]
            whole = rule.by == "file" and end - start == unit.length
            text = raw if whole else BLANK_START.sub("", raw).rstrip()
            if text.strip():
                yield Chunk(text, _heading(unit, start + _lead(raw), above), raw)
        above = unit.headings[-1][1] if unit.headings else above


def _lead(raw: str) -> int:
    match = BLANK_START.match(raw)
    return match.end() if match else 0


def _heading(unit: _Unit, at: int, above: str | None) -> str | None:
    """The heading under which an offset of a unit stands."""
    found = bisect_right([offset for offset, _ in unit.headings], at)
    return unit.headings[found - 1][1] if found else above


def _units(lines: Iterable[str], by: By) -> Iterator[_Unit]:
    """The units of a text, which are together all of it; blank lines belong to what they follow."""
    unit, blank = _Unit(), False
    for line, heading in _with_headings(lines):
        is_blank = line.isspace()
        if by == "paragraph":
            starts = blank and not is_blank
        else:
            starts = by == "line" or (by == "heading" and heading is not None)
        if starts and unit.parts:
            yield unit
            unit = _Unit()
        unit.add(line, heading)
        blank = is_blank
    if unit.parts:
        yield unit


def _with_headings(lines: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """Each line with the text of the heading that it is; None where it is none."""
    fence = ""
    for line in lines:
        if line[0] not in MARKS:
            yield line, None
            continue
        bare = line.rstrip("\r\n")
        match = FENCE.match(bare)
        heading = None
        if match and not fence:
            fence = match["marks"]
        elif match and match["marks"].startswith(fence) and not match["rest"].strip():
            fence = ""
        elif not fence and (found := HEADING.match(bare)):
            heading = found["text"] or None
        yield line, heading


def _gathered(units: Iterable[_Unit], rule: Rule) -> Iterator[_Unit]:
    """Small units together, as many as fit."""
    if rule.characters is None or rule.by not in GATHERED:
        yield from units
        return
    held = _Unit()
    for unit in units:
        if held.parts and held.length + unit.length > rule.characters:
            yield held
            held = _Unit()
        held.join(unit)
    if held.parts:
        yield held


def _cuts(raw: str, most: int | None) -> Iterator[tuple[int, int]]:
    """The stretches into which a unit is cut, each of at most so many characters."""
    start = 0
    while most is not None and len(raw) - start > most:
        end = _cut(raw, start, most)
        yield start, end
        start = end
    yield start, len(raw)


def _cut(raw: str, start: int, most: int) -> int:
    """Where the first of two parts ends."""
    middle, end = start + most // 2, start + most
    for kind in BREAKS:
        found = [match.end() for match in kind.finditer(raw, middle, end)]
        if found:
            return found[-1]
    while end > start + 1 and (unicodedata.combining(raw[end]) or raw[end - 1 : end + 1] == "\r\n"):
        end -= 1
    return end
