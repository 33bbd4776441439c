"""Which stretches of a turn are its reasoning and which its tool calls.

A part is made of the characters that came from the message's reasoning or from its tool calls, of
the template's own text around them (tags, brackets, the name of a channel), and of the white space
after a closing tag. The stop token belongs to neither.

- Reasoning: every block from an opening tag to its closing tag, whether the template writes the tags
  or the content brings them along; also what stands before a closing tag whose opening tag the
  generation prompt has supplied; also every other character of separate reasoning.
- Tool calls: from the end of what the message says otherwise to the stop token, or to where the
  message goes on to say something.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Span = tuple[int, int]
Kind = Literal["reasoning", "call", "content", "template"]

_WORD = r"(?:think|thinking|thought|reasoning|seed:think|THINK)"
OPENING = rf"(?:<{_WORD}>|\[{_WORD}\]|<\|channel>thought|<\|START_THINKING\|>)"
"""What opens a block of reasoning, in the templates that are published."""
CLOSING = rf"(?:</{_WORD}>|\[/{_WORD}\]|<channel\|>|<\|END_THINKING\|>)"
"""What closes it."""

_CHANNELS = {"<|channel|>analysis<|message|>": "<|end|>", " to=self<|message|>": "<|eom|>"}
"""Channels for reasoning, of which each has its own closing token (gpt-oss, Muse)."""
_OPENS = "|".join([OPENING, *map(re.escape, _CHANNELS)])
_TAG = re.compile(
    rf"(?P<opens>{_OPENS})|(?P<closes>{CLOSING})|" + "|".join(map(re.escape, _CHANNELS.values()))
)
_BLANK = re.compile(r"\s*")
_HINTS = ("</", "[/", "|>")
"""One of these is in every closing tag; most turns have none of them, and need no search for tags."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Characters of a turn with one origin."""

    start: int
    end: int
    kind: Kind


def merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same characters as stretches in order which neither touch nor overlap."""
    found: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return tuple(found)


def without(spans: Sequence[Span], taken: Sequence[Span]) -> tuple[Span, ...]:
    """The stretches without the characters of others; both in order, without overlaps."""
    left: list[Span] = []
    for start, end in spans:
        at = start
        for first, last in taken:
            if last > at and first < end:
                left.append((at, first))
                at = last
        left.append((at, end))
    return tuple((start, end) for start, end in left if start < end)


def _of_kind(stretches: Sequence[Stretch], kind: Kind) -> list[Span]:
    return [(stretch.start, stretch.end) for stretch in stretches if stretch.kind == kind]


def _blocks(text: str, start: int, stop: int) -> list[Span]:
    if not any(hint in text[start:stop] for hint in _HINTS):
        return []
    found: list[Span] = []
    opened: re.Match[str] | None = None
    for number, tag in enumerate(_TAG.finditer(text, start, stop)):
        if tag["opens"]:
            opened = opened or tag
        elif opened and _CHANNELS.get(opened[0], tag["closes"]) == tag[0]:
            found.append((opened.start(), tag.end()))
            opened = None
        elif number == 0 and tag["closes"]:
            found.append((start, tag.end()))
    return [(first, _BLANK.match(text, last, stop).end()) for first, last in found]  # type: ignore[union-attr]


def reasoning(text: str, start: int, stop: int, stretches: Sequence[Stretch]) -> tuple[Span, ...]:
    """The reasoning of a turn which stands in `text` from `start` to `stop`."""
    calls = _of_kind(stretches, "call")
    blocks = [
        (first, last)
        for first, last in _blocks(text, start, stop)
        if not any(at < last and first < end for at, end in calls)
    ]
    found = merged([*blocks, *_of_kind(stretches, "reasoning")])
    if found and text[start : found[0][0]].isspace():
        return ((start, found[0][1]), *found[1:])
    return found


def tool_calls(stop: int, stretches: Sequence[Stretch]) -> tuple[Span, ...]:
    """The tool calls of a turn whose stretches stand in text order and reach up to `stop`."""
    found: list[Span] = []
    said, opened = 0, False
    for stretch in stretches:
        if stretch.kind == "call":
            opened = True
        elif stretch.kind != "template":
            found += [(said, stretch.start)] if opened else []
            said, opened = stretch.end, False
        elif said == 0:
            said = stretch.start
    return merged([*found, *([(said, stop)] if opened else [])])


def parts_of(
    text: str, start: int, stop: int, stretches: Sequence[Stretch]
) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """The reasoning and the tool calls of a turn."""
    thought = reasoning(text, start, stop, stretches)
    return thought, without(tool_calls(stop, stretches), thought)
