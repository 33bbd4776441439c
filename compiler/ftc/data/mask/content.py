"""What of a message its turn must have, and what a template may leave out (condition 5 of `mask.proof`)."""

from __future__ import annotations

import re

from ftc.data.mask.parts import CLOSING, OPENING
from ftc.data.rendering.example import Refusal
from ftc.data.template.values import REASONING_FIELDS, Origin

_BLOCK = rf"(?:(?!{CLOSING}).)*{CLOSING}"
_REASONING = re.compile(rf"\s*(?:{OPENING}|{CLOSING}|{OPENING}{_BLOCK})\s*", re.DOTALL)
_LEADING_REASONING = re.compile(rf"{_BLOCK}\s*", re.DOTALL)


class Unproved(Exception):  # noqa: N818  not an error of the program
    """A condition that does not hold; `history` where the turn is in history form."""

    def __init__(self, reason: str, *, history: bool = False) -> None:
        super().__init__(reason)
        self.history = history

    @property
    def refusal(self) -> Refusal:
        """The refusal of the row."""
        return Refusal(fate="unproved", code="FTC308" if self.history else "FTC305", reason=str(self))


def excerpt(text: str, at: int) -> str:
    """A few characters of a text around a place, as they would be written in Python."""
    return repr(text[max(0, at - 20) : at + 20])


def _missing(text: str, stretches: list[tuple[int, int]], *, repeats: bool = False) -> list[tuple[int, int]]:
    """The stretches of a text that are not covered; raises Unproved where parts repeat or change order."""
    missing, at = [], 0
    for first, last in stretches:
        if first < at and not repeats:
            raise Unproved(f"the template repeats or reorders a text: {excerpt(text, first)}")
        missing.append((at, first))
        at = max(at, last)
    return [(first, last) for first, last in [*missing, (at, len(text))] if first < last]


def _may_go(text: str, first: int, last: int) -> bool:
    """Whether a template may leave this part of a content out."""
    part = text[first:last]
    if not part.strip():
        return first == 0 or last == len(text)
    if _REASONING.fullmatch(part):
        return True
    return first == 0 and _LEADING_REASONING.fullmatch(part) is not None


def must_stand_once(origin: Origin | None) -> bool:
    """Whether a string is what a message says, apart from tool calls."""
    if origin is None or origin.key:
        return False
    said = origin.field == "content" and (len(origin.path) == 1 or origin.path[-1] == "text")
    return said or origin.field == REASONING_FIELDS[0]


def is_call(origin: Origin) -> bool:
    """Whether a string is the name of a called tool, or of its arguments."""
    path = origin.path[2:]
    if origin.field != "tool_calls" or not path:
        return False
    return ("arguments" in path[:-1]) or (not origin.key and path[-1] in ("name", "arguments"))


def _lost(origin: Origin, stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The stretches of a string which the turn must have, and has not."""
    text = origin.text
    if is_call(origin):
        return _missing(text, sorted(stretches), repeats=True)
    if not must_stand_once(origin):
        return []
    missing = _missing(text, stretches)
    if origin.field == "content":
        return [(first, last) for first, last in missing if not _may_go(text, first, last)]
    return [(first, last) for first, last in missing if stretches and text[first:last].strip()]


def check_origin(origin: Origin, stretches: list[tuple[int, int]]) -> None:
    """Raise Unproved where the turn lacks part of a string of its message that it must have."""
    lost = _lost(origin, stretches)
    if lost:
        what = "a tool call" if is_call(origin) else "part"
        number, text = (origin.message or 0) + 1, excerpt(origin.text, lost[0][0])
        raise Unproved(f"the template leaves out {what} of message {number}: {text}")
