"""The members of a row, such as two answers to a prompt: what they share, then one beside the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, takewhile, zip_longest
from typing import TYPE_CHECKING

from ftc.cli.example_view import CLOSE, OPEN, colored, marked_lines, visible
from ftc.cli.layout import display_width, number, pad, plural
from ftc.cli.terminal import Terminal

if TYPE_CHECKING:
    from ftc.data.kept.shown import ShownMember

GAP = 2
NARROWEST = 36
"""Columns of a text below which texts stand one under the other."""

Cell = tuple[str, bool]
"""A character and whether it carries loss."""


def member_lines(members: Sequence[ShownMember], terminal: Terminal, *, full: bool = False) -> list[str]:
    """The shared beginning of a row's members, then the rest of each in a column of its own.

    Texts of which nothing is predicted are read one by one, so they stand whole.
    """
    cells = [[(letter, trained) for text, trained in member.tokens for letter in text] for member in members]
    alike = takewhile(lambda here: len(set(here)) == 1 and not here[0][1], zip(*cells, strict=False))
    shared = len(list(alike)) if any(member.trained for member in members) else 0
    before = [("".join(letter for letter, _ in run), trained) for trained, run in _runs(cells[0][:shared])]
    lines = marked_lines(before, terminal, full=full) if shared else []
    width = (terminal.width - GAP * (len(members) - 1)) // len(members)
    heads = [f"{member.name} ({_facts(member)})" for member in members]
    rests = [list(_lines(one[shared:], width, brackets=not terminal.color_out)) for one in cells]
    if width < NARROWEST:
        stacked = zip(heads, rests, strict=True)
        return lines + [line for head, rest in stacked for line in ("", head, *_styled(rest, terminal))]
    lines += ["", _beside(heads, heads, width)]
    styled = [_styled(rest, terminal) for rest in rests]
    rows = zip_longest(*rests, fillvalue=[])
    shown = zip_longest(*styled, fillvalue="")
    return lines + [
        _beside(["".join(letter for letter, _ in cell) for cell in plain], texts, width)
        for plain, texts in zip(rows, shown, strict=True)
    ]


def _facts(member: ShownMember) -> str:
    return f"{plural(member.length, 'token')}, {number(member.trained)} with loss"


def _runs(cells: Sequence[Cell]) -> Iterator[tuple[bool, list[Cell]]]:
    return ((trained, list(run)) for trained, run in groupby(cells, key=lambda cell: cell[1]))


def _lines(cells: Sequence[Cell], width: int, *, brackets: bool) -> Iterator[list[Cell]]:
    """The characters in lines of at most a width, those with loss in brackets where there is no colour."""
    marked: list[Cell] = []
    for trained, run in _runs(cells):
        text = visible("".join(letter for letter, _ in run), brackets=brackets)
        text = f"{OPEN}{text}{CLOSE}" if trained and brackets else text
        marked += [(letter, trained) for letter in text]
    line: list[Cell] = []
    for cell in marked:
        if cell[0] == "\n" or display_width("".join(letter for letter, _ in line)) >= width:
            yield line
            line = []
        if cell[0] != "\n":
            line.append(cell)
    if line:
        yield line


def _styled(lines: Sequence[list[Cell]], terminal: Terminal) -> list[str]:
    if not terminal.color_out:
        return ["".join(letter for letter, _ in line) for line in lines]
    runs = (
        [("".join(letter for letter, _ in run), trained) for trained, run in _runs(line)] for line in lines
    )
    return ["".join(colored(text) if trained else text for text, trained in line) for line in runs]


def _beside(plain: Sequence[str], shown: Sequence[str], width: int) -> str:
    """Texts in columns; `plain` is how wide they are without colour."""
    columns = [text + pad("", width - display_width(one)) for one, text in zip(plain, shown, strict=True)]
    return (" " * GAP).join(columns).rstrip()
