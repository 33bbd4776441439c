"""A string that knows, for each of its characters, where it came from.

A `Traced` behaves as the `str` it is. Operations that are understood here carry the origin of every
character along; every other operation of `str` returns a plain `str`, whose origin counts as lost.
Nothing is ever guessed: a character is known to come from somewhere, or it is LOST.
"""

# ruff: noqa: D102  the methods without a docstring are those of str

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, SupportsIndex

Run = tuple[int, int, int]
"""Length, source, and the offset of the first character in its source (CONTINUED: see there)."""

LITERAL = 0
"""Written by the template itself, or by a value that is no message (a special token, a number)."""
LOST = 1
"""Of unknown origin."""
MARK = 2
"""A mark of no width; its offset says which."""
FIRST_SOURCE = 3
"""The smallest source number of a string that was handed in."""

CONTINUED = -1
"""The offset of characters which belong to the character before them, such as the `n` of an escape."""


def _advance(offset: int, by: int) -> int:
    return offset if offset < 0 else offset + by


def cut_runs(runs: Iterable[Run], start: int, stop: int) -> Iterator[Run]:
    """The runs of the characters from `start` to `stop`, marks on either border included."""
    at = 0
    for length, source, offset in runs:
        end = at + length
        if length == 0:
            if start <= at <= stop:
                yield (0, source, offset)
        elif end > start and at < stop:
            low = max(start, at)
            yield (min(stop, end) - low, source, _advance(offset, low - at))
        at = end


def runs_of(value: str) -> tuple[Run, ...]:
    """The runs of any string; a plain one is LOST."""
    if isinstance(value, Traced):
        return value.runs
    return ((len(value), LOST, 0),) if value else ()


class Traced(str):
    """A string with the origin of its characters; made of plain text alone, it is LOST."""

    __slots__ = ("runs",)
    runs: tuple[Run, ...]

    def __new__(cls, text: str = "", runs: tuple[Run, ...] | None = None) -> Traced:
        self = super().__new__(cls, str.__str__(text))
        self.runs = runs if runs is not None else ((len(text), LOST, 0),)
        return self

    @staticmethod
    def literal(text: str) -> Traced:
        """Text that the template wrote."""
        return Traced(text, ((len(text), LITERAL, 0),))

    def cut(self, start: int, stop: int) -> Traced:
        """The characters from `start` to `stop`, both within the string."""
        return Traced(str.__getitem__(self, slice(start, stop)), tuple(cut_runs(self.runs, start, stop)))

    def _recased(self, text: str) -> str:
        # Case mappings never shorten a text, so an equal length means character for character.
        return Traced(text, self.runs) if len(text) == len(self) else Traced(text)

    def _at(self, pieces: Iterable[str], gap: int) -> list[Traced]:
        found, at = [], 0
        for piece in pieces:
            found.append(self.cut(at, at + len(piece)))
            at += len(piece) + gap
        return found

    def _words(self, pieces: Iterable[str]) -> list[Traced]:
        found, at = [], 0
        for piece in pieces:
            at = str.find(self, piece, at)
            found.append(self.cut(at, at + len(piece)))
            at += len(piece)
        return found

    def __str__(self) -> str:
        return self

    def __add__(self, other: str) -> Traced:
        if not isinstance(other, str):
            return NotImplemented
        return Traced(str.__add__(self, other), self.runs + runs_of(other))

    def __radd__(self, other: str) -> Traced:
        if not isinstance(other, str):
            return NotImplemented
        return Traced(str.__add__(other, self), runs_of(other) + self.runs)

    def __mul__(self, times: SupportsIndex) -> Traced:
        return Traced(str.__mul__(self, times), self.runs * max(0, int(times)))

    __rmul__ = __mul__

    def __getitem__(self, key: SupportsIndex | slice) -> Traced:
        if not isinstance(key, slice):
            index = range(len(self))[key]
            return self.cut(index, index + 1)
        start, stop, step = key.indices(len(self))
        if step == 1:
            return self.cut(start, max(start, stop))
        return join("", (self.cut(i, i + 1) for i in range(start, stop, step)))

    def __iter__(self) -> Iterator[str]:
        return (self.cut(i, i + 1) for i in range(len(self)))

    def lstrip(self, chars: str | None = None, /) -> Traced:
        return self.cut(len(self) - len(str.lstrip(self, chars)), len(self))

    def rstrip(self, chars: str | None = None, /) -> Traced:
        return self.cut(0, len(str.rstrip(self, chars)))

    def strip(self, chars: str | None = None, /) -> Traced:
        return self.lstrip(chars).rstrip(chars)

    def removeprefix(self, prefix: str, /) -> Traced:
        return self.cut(len(self) - len(str.removeprefix(self, prefix)), len(self))

    def removesuffix(self, suffix: str, /) -> Traced:
        return self.cut(0, len(str.removesuffix(self, suffix)))

    def lower(self) -> str:
        return self._recased(str.lower(self))

    def upper(self) -> str:
        return self._recased(str.upper(self))

    def casefold(self) -> str:
        return self._recased(str.casefold(self))

    def swapcase(self) -> str:
        return self._recased(str.swapcase(self))

    def capitalize(self) -> str:
        return self._recased(str.capitalize(self))

    def title(self) -> str:
        return self._recased(str.title(self))

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[Any]:
        pieces = str.split(self, sep, maxsplit)
        return self._words(pieces) if sep is None else self._at(pieces, len(sep))

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[Any]:
        pieces = str.rsplit(self, sep, maxsplit)
        # Split from the right, the first piece keeps its inner blanks but not the ones before it.
        return self._words(pieces) if sep is None else self._at(pieces, len(sep))

    def splitlines(self, keepends: bool = False) -> list[Any]:
        whole = self._at(str.splitlines(self, keepends=True), 0)
        if keepends:
            return whole
        return [line.cut(0, len(bare)) for line, bare in zip(whole, str.splitlines(self), strict=True)]

    def partition(self, sep: str, /) -> tuple[Any, Any, Any]:
        head, middle, tail = self._at(str.partition(self, sep), 0)
        return head, middle, tail

    def rpartition(self, sep: str, /) -> tuple[Any, Any, Any]:
        head, middle, tail = self._at(str.rpartition(self, sep), 0)
        return head, middle, tail

    def replace(self, old: str, new: str, count: SupportsIndex = -1, /) -> Traced:
        if old == "":
            return Traced(str.replace(self, old, new, count))
        return join(new, self.split(old, count))

    def join(self, parts: Iterable[str], /) -> Traced:
        return join(self, parts)


def join(separator: str, parts: Iterable[str]) -> Traced:
    """`separator.join(parts)` with every character's origin."""
    items = list(parts)
    between = runs_of(separator)
    runs: list[Run] = []
    for number, item in enumerate(items):
        if number:
            runs.extend(between)
        runs.extend(runs_of(item))
    return Traced(str.join(separator, items), tuple(runs))


def concatenate(chunks: Iterable[str]) -> Traced:
    """The chunks a template gives out, in one: a plain chunk is the template's own text."""
    runs: list[Run] = []
    texts = list(chunks)
    for chunk in texts:
        if type(chunk) is str:
            runs.append((len(chunk), LITERAL, 0))
        else:
            runs.extend(runs_of(chunk))
    return Traced("".join(texts), tuple(runs))


class TracedInt(int):
    """A whole number of a message; its digits know their source."""

    source: int = LOST

    def __str__(self) -> str:
        text = int.__repr__(self)
        return Traced(text, ((len(text), self.source, 0),))


class TracedFloat(float):
    """A number of a message; its digits know their source."""

    source: int = LOST

    def __str__(self) -> str:
        text = float.__repr__(self)
        return Traced(text, ((len(text), self.source, 0),))


def lose(value: Any) -> Any:
    """The value as it comes out of an operation that is not understood."""
    if issubclass(type(value), str):
        return value if isinstance(value, Traced) else Traced(value)
    if type(value) is int:
        return TracedInt(value)
    return TracedFloat(value) if type(value) is float else value
