"""Where each key and value of a TOML text stands: tomllib gives the values, this gives their places.

The scanner trusts that tomllib accepts the text and checks nothing itself. On other text it stops with
the place of what it could not read, which is how a syntax error gets its caret.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field

Path = tuple[str | int, ...]
Range = tuple[int, int]

_SPACE = re.compile(r"(?:[ \t\r\n]++|#[^\n]*+)*+")
_BLANK = re.compile(r"[ \t]*+")
_STRINGS = r'"(?:[^"\\\n]++|\\.)*+"' + r"|'[^'\n]*+'"
_NAME = re.compile(rf"[A-Za-z0-9_-]++|{_STRINGS}")
_SCALAR = re.compile(
    r'"""(?:[^"\\]++|\\.|"(?!""))*+"{3,5}'
    r"|'''(?:[^']++|'(?!''))*+'{3,5}"
    rf"|(?!\"\"\"|''')(?:{_STRINGS})"
    r"|\d{4}-\d\d-\d\d [0-9][^\s,\]}#]++"
    r"|[^\s,\]}#\"'=]++",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|x[0-9A-Fa-f]{2}|[^\s])")
_NEWLINE = re.compile(r"\r?\n")
_LITERAL_CHARACTER = re.compile(r"\r\n|.", re.DOTALL)
_CONTINUED = re.compile(r"\\[ \t]*\r?\n[ \t\r\n]*")


class ScanError(Exception):
    """The text is no TOML: `at` is where the thing begins that could not be read."""

    def __init__(self, at: int) -> None:
        super().__init__(f"cannot be read from character {at}")
        self.at = at


@dataclass(frozen=True)
class Places:
    """Character ranges by path: of the last part of a key, and of a value.

    The value of a table with a header is its header. `twice` holds paths that are given more than once
    with the ranges of the first and the second key; `statements` holds where each statement begins.
    """

    keys: dict[Path, Range] = field(default_factory=dict)
    values: dict[Path, Range] = field(default_factory=dict)
    twice: list[tuple[Path, Range, Range]] = field(default_factory=list)
    statements: list[int] = field(default_factory=list)


def scan(text: str) -> Places:
    """The places of everything in a TOML text; raises `ScanError` where the text is not TOML."""
    scanner = _Scanner(text)
    scanner.document()
    return scanner.places


def scan_until_error(text: str) -> tuple[Places, int | None]:
    """The places of everything up to what cannot be read, and where that begins (None: all was read)."""
    scanner = _Scanner(text)
    try:
        scanner.document()
    except ScanError as error:
        return scanner.places, error.at
    return scanner.places, None


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.places = Places()
        self.counts: dict[Path, int] = {}

    def document(self) -> None:
        prefix: Path = ()
        self.skip()
        while self.at < len(self.text):
            self.places.statements.append(self.at)
            if self.peek("["):
                prefix = self.header()
            else:
                self.pair(prefix)
            self.skip()

    def header(self) -> Path:
        start = self.at
        width = 2 if self.peek("[[") else 1
        self.at += width
        path: Path = ()
        names = self.names()
        for name, place in names[:-1]:
            path = self.entered((*path, name))
            self.places.keys.setdefault(path, place)
        name, place = names[-1]
        path = (*path, name)
        self.places.keys.setdefault(path, place)
        self.take("]" * width)
        if width == 2:
            path = self.next_element(path)
            self.places.keys[path] = place
        elif path in self.places.values:
            self.places.twice.append((path, self.places.keys[path], place))
        self.places.values[path] = (start, self.at)
        return path

    def entered(self, path: Path) -> Path:
        """The path of a table named on the way: for an array of tables, its newest element."""
        return (*path, self.counts[path] - 1) if path in self.counts else path

    def next_element(self, path: Path) -> Path:
        self.counts[path] = self.counts.get(path, 0) + 1
        return (*path, self.counts[path] - 1)

    def pair(self, prefix: Path) -> None:
        path = prefix
        place: Range = (self.at, self.at)
        for name, place in self.names():
            path = (*path, name)
            first = self.places.keys.setdefault(path, place)
        self.take("=")
        self.blank()
        if path in self.places.values:
            self.places.twice.append((path, first, place))
        self.value(path)

    def names(self) -> list[tuple[str, Range]]:
        """A dotted key: each part with its range."""
        found = []
        while True:
            self.blank()
            match = _NAME.match(self.text, self.at)
            if not match:
                raise ScanError(self.at)
            found.append((decode_key(match.group()), match.span()))
            self.at = match.end()
            self.blank()
            if not self.peek("."):
                return found
            self.at += 1

    def value(self, path: Path) -> None:
        start = self.at
        if self.peek("["):
            self.array(path)
        elif self.peek("{"):
            self.table(path)
        else:
            match = _SCALAR.match(self.text, self.at)
            if not match:
                raise ScanError(self.at)
            self.at = match.end()
        self.places.values[path] = (start, self.at)

    def array(self, path: Path) -> None:
        opened = self.open()
        index = 0
        while not self.peek("]"):
            self.value((*path, index))
            index += 1
            self.separator("]", opened)
        self.at += 1

    def table(self, path: Path) -> None:
        opened = self.open()
        while not self.peek("}"):
            self.pair(path)
            self.separator("}", opened)
        self.at += 1

    def open(self) -> int:
        opened = self.at
        self.at += 1
        self.skip()
        if self.at >= len(self.text):
            raise ScanError(opened)
        return opened

    def separator(self, closing: str, opened: int) -> None:
        self.skip()
        if self.at >= len(self.text):
            raise ScanError(opened)
        if not self.peek(closing):
            self.take(",")
            self.skip()

    def take(self, expected: str) -> None:
        if not self.peek(expected):
            raise ScanError(self.at)
        self.at += len(expected)

    def peek(self, expected: str) -> bool:
        return self.text.startswith(expected, self.at)

    def skip(self) -> None:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def blank(self) -> None:
        match = _BLANK.match(self.text, self.at)
        self.at = match.end() if match else self.at


def decode_key(raw: str) -> str:
    """The name that a bare or quoted part of a key stands for."""
    if raw[0] == "'":
        return raw[1:-1]
    if raw[0] != '"':
        return raw
    return "".join(_character(raw[match]) for match in _parts(raw, 1, len(raw) - 1))


def string_parts(text: str, start: int, end: int) -> list[slice]:
    """For each character of the string literal at `start`, the stretch of the text that stands for it.

    A literal is any of TOML's four kinds. One empty stretch more marks the end of the string.
    """
    quote = text[start]
    width = 3 if text.startswith(quote * 3, start) and end - start >= 6 else 1
    inner, last = start + width, end - width
    if width == 3:
        newline = _NEWLINE.match(text, inner)
        inner = newline.end() if newline else inner
    parts = _literal_parts(text, inner, last) if quote == "'" else _parts(text, inner, last)
    return [*parts, slice(last, last)]


def _literal_parts(text: str, inner: int, last: int) -> list[slice]:
    return [slice(match.start(), match.end()) for match in _LITERAL_CHARACTER.finditer(text, inner, last)]


def _parts(text: str, at: int, last: int) -> list[slice]:
    """The stretches of a basic string's inside which stand for one character each."""
    parts = []
    while at < last:
        continued = _CONTINUED.match(text, at, last)
        if continued:
            at = continued.end()
            continue
        escape = _ESCAPE.match(text, at, last)
        end = escape.end() if escape else at + 1 + text.startswith("\r\n", at)
        parts.append(slice(at, end))
        at = end
    return parts


_SHORT = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b", '"': '"', "\\": "\\"}


def _character(raw: str) -> str:
    if raw[0] != "\\":
        return raw
    if raw[1] in _SHORT:
        return _SHORT[raw[1]]
    code = int(raw[2:] or "fffd", 16)
    return chr(code) if code <= sys.maxunicode else "\ufffd"
