"""Limits on a template's run: a chat template comes from outside and may not hang or fill the memory."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateRuntimeError

_WIDE_FORMAT = re.compile(r"[0-9*]{6,}|%[^a-zA-Z%]*\*")
_LARGEST_POWER = 10_000


class TemplateLimit(TemplateRuntimeError):  # noqa: N818  a limit, not a mistake
    """A template ran into one of its limits."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one rendering may take: characters of any text, turns of all its loops and macros, seconds.

    The turns are what normally stops a runaway: they do not depend on the machine. The seconds are the
    last resort.
    """

    characters: int = 64 * 2**20
    turns: int = 4_000_000
    seconds: float = 30.0


class Budget:
    """What one rendering has left of its limits, where its generation blocks stand, which loops left marks.

    A block's place is what the template has written before it, as transformers counts; `blocks` are
    (start, text).
    """

    __slots__ = ("_deadline", "_given", "_limits", "_turns", "blocks", "marked")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._deadline = time.monotonic() + limits.seconds
        self._turns = 0
        self._given = 0
        self.blocks: list[tuple[int, str]] = []
        self.marked: set[int] = set()

    def turn(self) -> None:
        """Count one turn of a loop or one call of a macro."""
        self._turns += 1
        if self._turns > self._limits.turns:
            raise TemplateLimit(
                f"the template takes more than {self._limits.turns:,} turns through its loops"
            )
        if self._turns % 512 == 0 and time.monotonic() > self._deadline:
            raise TemplateLimit(f"the template runs for more than {self._limits.seconds:g} seconds")

    def give(self, characters: int) -> None:
        """Count characters of the output."""
        self._given += characters
        if self._given > self._limits.characters:
            raise TemplateLimit(f"the template writes more than {self._limits.characters:,} characters")

    def generated(self, text: str) -> None:
        """Note a generation block which is about to be written."""
        self.blocks.append((self._given, text))


def check_size(size: int, limits: Limits) -> None:
    """Refuse a text or list that is larger than any text may be."""
    if size > limits.characters:
        raise TemplateLimit(f"the template builds a text of more than {limits.characters:,} characters")


def check_arguments(values: Any, limits: Limits) -> None:
    """Refuse a number that would make a filter or method build an enormous text."""
    for value in values:
        if isinstance(value, int) and value > limits.characters:
            raise TemplateLimit(
                f"the template passes {value:,} where at most {limits.characters:,} is sensible"
            )


def check_replacement(text: str, arguments: tuple[Any, ...], limits: Limits) -> None:
    """Refuse `text.replace(*arguments)` where its result would be too long."""
    old, new = arguments[:2] if len(arguments) > 1 else ("", "")
    if isinstance(old, str) and isinstance(new, str) and len(text) * len(new) > limits.characters:
        check_size(str.count(text, old) * len(new), limits)


def check_operands(operator: str, left: Any, right: Any, limits: Limits) -> None:
    """Refuse an operation whose result would be too large, before it is carried out."""
    if operator == "*":
        for many, times in ((left, right), (right, left)):
            if isinstance(many, (str, list, tuple)) and isinstance(times, int):
                check_size(len(many) * times, limits)
    elif operator == "**" and isinstance(right, int) and right > _LARGEST_POWER:
        raise TemplateLimit(f"the template raises a number to the power of {right:,}")
    elif operator == "%" and isinstance(left, str) and _WIDE_FORMAT.search(left):
        raise TemplateLimit("the template formats a value with an enormous or unknown width")
    elif operator == "+" and isinstance(left, (str, list, tuple)) and isinstance(right, (str, list, tuple)):
        check_size(len(left) + len(right), limits)
