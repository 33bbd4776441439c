"""Cut a JSON array into its elements, in pieces that memory holds, and say where its form is broken."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO

from ftc.facts.sources.bad_lines import Line
from ftc.facts.sources.packed import open_bytes

BLOCK = 1 << 20
SPACE = b" \t\r\n"
TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|["\[\]{},]', re.DOTALL)
"""A whole string, or a character that opens, closes or separates; a quote alone begins what has no end."""

PAIRS = {b"}": b"{", b"]": b"["}


class BrokenArray(Exception):  # noqa: N818 - a state of a file
    """A file which is no array of elements: what is wrong, and the line and column (from 1) where."""

    def __init__(self, reason: str, line: int, column: int) -> None:
        super().__init__(reason)
        self.reason, self.line, self.column = reason, line, column


@dataclass
class _Text:
    """The part of a file that is looked at, and the line and column of its first byte."""

    file: IO[bytes]
    held: bytes = b""
    line: int = 1
    column: int = 1

    def more(self) -> bool:
        """Hold another block; false at the end of the file."""
        block = self.file.read(BLOCK)
        self.held += block
        return bool(block)

    def drop(self, end: int) -> None:
        """Let go of what stands before `end`."""
        self.line, self.column = self.place(end)
        self.held = self.held[end:]

    def place(self, at: int) -> tuple[int, int]:
        """Line and column of a byte that is held."""
        before = self.held[:at]
        rows = before.count(b"\n")
        column = 1 if rows else self.column
        return self.line + rows, column + len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace"))

    def broken(self, reason: str, at: int) -> BrokenArray:
        """The error at a byte that is held."""
        return BrokenArray(reason, *self.place(at))


@dataclass(frozen=True)
class Element:
    """The bytes of an element, and the line and column where it begins."""

    content: bytes
    line: int
    column: int


def elements(file: IO[bytes]) -> Iterator[Element]:
    """The elements of the array that a file is. Raises BrokenArray, OSError and EOFError."""
    text = _Text(file)
    _open(text)
    number = 0
    while True:
        end, last = _end_of_element(text, number + 1)
        content = text.held[:end]
        bare = content.strip(SPACE)
        if bare:
            number += 1
            start = len(content) - len(content.lstrip(SPACE))
            yield Element(bare, *text.place(start))
        elif not last or number:
            raise text.broken("a comma without an element", end)
        text.drop(end + 1)
        if last:
            return _close(text)


def _open(text: _Text) -> None:
    """Go behind the bracket that opens the array."""
    text.more()
    if text.held.startswith(codecs.BOM_UTF8):
        text.held = text.held[len(codecs.BOM_UTF8) :]
    while not text.held.strip(SPACE) and text.more():
        pass
    start = len(text.held) - len(text.held.lstrip(SPACE))
    if text.held[start : start + 1] != b"[":
        raise text.broken("the file is not an array", start)
    text.drop(start + 1)


def _close(text: _Text) -> None:
    """Look that nothing stands behind the array."""
    while True:
        rest = text.held.lstrip(SPACE)
        if rest:
            raise text.broken("something stands behind the array", len(text.held) - len(rest))
        text.drop(len(text.held))
        if not text.more():
            return


def _end_of_element(text: _Text, number: int) -> tuple[int, bool]:
    """Where the comma or bracket behind the next element stands, and whether it is the last."""
    open_: list[bytes] = []
    at = 0
    while True:
        token = TOKEN.search(text.held, at)
        if token is None or token[0] == b'"':
            at = len(text.held) if token is None else token.start()
            if not text.more():
                raise text.broken(f"the file ends inside element {number:,}", len(text.held))
            continue
        sign = token[0]
        if not open_ and sign in (b",", b"]"):
            return token.start(), sign == b"]"
        if sign in (b"{", b"["):
            open_.append(sign)
        elif sign in PAIRS:
            _shut(text, open_, sign, token.start())
        at = token.end()


def _shut(text: _Text, open_: list[bytes], sign: bytes, at: int) -> None:
    if not open_ or open_.pop() != PAIRS[sign]:
        raise text.broken(f"`{sign.decode()}` closes nothing", at)


def element_lines(paths: Sequence[Path], names: Sequence[str]) -> Iterator[Line]:
    """The elements of several files as lines; a BrokenArray has the file's name in its reason."""
    numbers = count(1)
    for path, name in zip(paths, names, strict=True):
        for element in _elements_of(path, name):
            place = f"{name}:{element.line}:{element.column}"
            yield Line(next(numbers), place, element.content.translate(ONE_LINE))


def _elements_of(path: Path, name: str) -> Iterator[Element]:
    with open_bytes(path) as file:
        try:
            yield from elements(file)
        except BrokenArray as broken:
            reason = f"{name}:{broken.line}:{broken.column}: {broken.reason}"
            raise BrokenArray(reason, broken.line, broken.column) from None


ONE_LINE = bytes.maketrans(b"\r\n", b"  ")
"""A line break inside an element stands between its parts: in a string it would not be JSON."""
