"""Limits on a template's run: a chat template comes from outside and may not hang or fill the memory.

What a rendering may take grows with what it is given: turns through loops, characters of any text, items of
any list. Operations that could pass a limit at one stroke are refused before they are carried out; all
others pay for the work they do. Processor time is the last resort.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateRuntimeError

LARGEST_NUMBER = 65_536
"""The largest number that a filter or a method of strings may be passed: a width, a count."""
LARGEST_INDENT = 64
_LARGEST_BITS = 65_536
_CHARACTERS_A_TURN = 1024
_NUMBERS = re.compile(r"\d+")
_CONTAINERS = (list, tuple, dict)
_PADDING = frozenset({"center", "ljust", "rjust", "zfill"})


class TemplateLimit(TemplateRuntimeError):  # noqa: N818  a limit, not a mistake
    """A template ran into one of its limits."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What any rendering may take: characters of a text, turns through its loops and macros, seconds.

    The turns are what normally stops a runaway: they do not depend on the machine.
    """

    characters: int = 2**20
    turns: int = 200_000
    seconds: float = 1.0

    def given(self, characters: int, messages: int) -> Limits:
        """The limits of a rendering that is given so many characters in so many messages."""
        return Limits(
            characters=self.characters + 16 * characters,
            turns=self.turns + characters + 20 * messages**2,
            seconds=self.seconds + characters / 250_000,
        )


class Budget:
    """What one rendering has left of its limits, and where its generation blocks stand.

    A block's place is what the template has written before it, as transformers counts; `blocks` are
    (start, text). `marked` are the loops that have turned to a message.
    """

    __slots__ = ("_deadline", "_given", "_turns", "blocks", "limits", "marked")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._deadline: float | None = None
        self._turns = 0
        self._given = 0
        self.blocks: list[tuple[int, str]] = []
        self.marked: set[int] = set()

    def turn(self, weight: int = 1) -> None:
        """Count turns of a loop, or work that takes as long."""
        before = self._turns
        self._turns = before + weight
        if self._turns > self.limits.turns:
            raise TemplateLimit(f"the template takes more than {self.limits.turns:,} turns through its loops")
        if self._turns >> 6 != before >> 6:
            self._check_time()

    def _check_time(self) -> None:
        now = time.thread_time()
        if self._deadline is None:
            self._deadline = now + self.limits.seconds
        if now > self._deadline:
            raise TemplateLimit(f"the template computes for more than {self.limits.seconds:.1f} seconds")

    def give(self, characters: int) -> None:
        """Count characters of the output."""
        self._given += characters
        if self._given > self.limits.characters:
            raise TemplateLimit(f"the template writes more than {self.limits.characters:,} characters")

    def generated(self, text: str) -> None:
        """Note a generation block which is about to be written."""
        self.blocks.append((self._given, text))

    def text(self, size: int) -> None:
        """Refuse a text that would be larger than any may be; others cost as much as they are long."""
        if size > self.limits.characters:
            raise TemplateLimit(
                f"the template builds a text of more than {self.limits.characters:,} characters"
            )
        if size >= _CHARACTERS_A_TURN:
            self.turn(size // _CHARACTERS_A_TURN)

    def items(self, count: int) -> None:
        """Refuse a list that would be larger than any may be; others cost as much as they are long."""
        if count > self.limits.turns:
            raise TemplateLimit(f"the template builds a list of more than {self.limits.turns:,} items")
        self.turn(count // 8)

    def nested(self, value: Any) -> Any:
        """Refuse lists in lists that are too large when an item is counted as often as it is met."""
        if type(value) in _CONTAINERS and value:
            self.items(_count(value, self.limits.turns))
        return value

    def value(self, value: Any) -> None:
        """Count the work of going through a value once."""
        if isinstance(value, str):
            self.text(len(value))
        elif type(value) in _CONTAINERS or type(value) is range:
            self.items(len(value))


def _count(value: Any, most: int) -> int:
    """The items in a value and in all that it holds, until there are more than `most`."""
    count, left = 0, [value]
    while left and count <= most:
        found = left.pop()
        items: Iterable[Any] = found.values() if isinstance(found, dict) else found
        for item in items:
            count += 1
            if count > most:
                break
            if isinstance(item, _CONTAINERS):
                left.append(item)
    return count


def check_numbers(values: Iterable[Any]) -> None:
    """Refuse a number that would make a filter or method build an enormous text."""
    for value in values:
        if isinstance(value, int) and value > LARGEST_NUMBER:
            raise TemplateLimit(f"the template passes {value:,} where at most {LARGEST_NUMBER:,} is sensible")


def check_json(arguments: Iterable[Any]) -> None:
    """Refuse an indentation or a separator of JSON that is out of all proportion."""
    for value in arguments:
        wide = isinstance(value, int) and not isinstance(value, bool) and value > LARGEST_INDENT
        parts = value if isinstance(value, (list, tuple)) else [value]
        long = any(isinstance(part, str) and len(part) > LARGEST_INDENT for part in parts)
        if wide or long:
            raise TemplateLimit(f"the template indents JSON by more than {LARGEST_INDENT} characters")


def check_join(separator: str, parts: Any, budget: Budget) -> None:
    """Refuse `separator.join(parts)` where its result would be too long."""
    if isinstance(parts, (list, tuple)):
        inside = sum(len(part) for part in parts if isinstance(part, str))
        budget.text(inside + len(separator) * len(parts))
    elif isinstance(parts, str):
        budget.text(len(parts) * (1 + len(separator)))


def check_replacement(text: str, arguments: tuple[Any, ...], budget: Budget) -> None:
    """Refuse `text.replace(*arguments)` where its result would be too long."""
    old, new = arguments[:2] if len(arguments) > 1 else ("", "")
    if isinstance(old, str) and isinstance(new, str):
        size = len(text) * (1 + len(new))
        budget.text(size if size < _CHARACTERS_A_TURN else len(text) + str.count(text, old) * len(new))


def check_format(text: str, values: Iterable[Any], budget: Budget) -> None:
    """Refuse to fill in a format whose result would be too long: by its widths, or by what is filled in."""
    longest = max((len(value) for value in values if isinstance(value, str)), default=0)
    fields = text.count("%") + text.count("{")
    widths = sum(int(number) if len(number) < 9 else 10**9 for number in _NUMBERS.findall(text))
    if "*" in text:
        raise TemplateLimit("the template formats a value with a width that it computes")
    budget.text(len(text) + fields * longest + widths)


def check_method(name: str, text: str, arguments: tuple[Any, ...], budget: Budget) -> None:
    """Refuse a call of a string's method whose result would be too large."""
    budget.text(len(text))
    if name in _PADDING or name == "expandtabs":
        check_numbers(arguments)
    if name == "replace":
        check_replacement(text, arguments, budget)
    elif name == "join" and arguments:
        check_join(text, arguments[0], budget)
    elif name in _PADDING and arguments and isinstance(arguments[0], int):
        budget.text(arguments[0])
    elif name == "expandtabs":
        size = arguments[0] if arguments and isinstance(arguments[0], int) else 8
        budget.text(len(text) + str.count(text, "\t") * size)
    elif name == "translate":
        table = arguments[0] if arguments and isinstance(arguments[0], Mapping) else {}
        budget.text(len(text) * max([1, *(len(v) for v in table.values() if isinstance(v, str))]))
    elif name in ("split", "rsplit", "splitlines"):
        separator = arguments[0] if arguments and isinstance(arguments[0], str) else None
        budget.items(str.count(text, separator) if separator else len(text) // 2)


def check_operands(operator: str, left: Any, right: Any, budget: Budget) -> None:
    """Refuse an operation whose result would be too large, before it is carried out."""
    if operator == "%" and isinstance(left, (str, bytes)):
        several = right.values() if isinstance(right, Mapping) else right
        values = several if isinstance(right, (Mapping, tuple)) else [right]
        check_format(left if isinstance(left, str) else left.decode("latin-1"), values, budget)
    elif isinstance(left, int) and isinstance(right, int):
        _check_numbers(operator, left, right)
    elif operator == "*":
        for many, times in ((left, right), (right, left)):
            if isinstance(many, (str, bytes)) and isinstance(times, int):
                budget.text(len(many) * times)
            elif isinstance(many, (list, tuple)) and isinstance(times, int):
                budget.items(len(many) * times)
    elif operator == "+" and isinstance(left, str) and isinstance(right, str):
        budget.text(len(left) + len(right))
    elif operator == "+" and isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        budget.items(len(left) + len(right))


def _check_numbers(operator: str, left: int, right: int) -> None:
    if operator == "**":
        bits = left.bit_length() * max(right, 0)
    else:
        bits = left.bit_length() + right.bit_length() if operator == "*" else 0
    if bits > _LARGEST_BITS:
        raise TemplateLimit(f"the template computes a number of more than {_LARGEST_BITS:,} bits")
