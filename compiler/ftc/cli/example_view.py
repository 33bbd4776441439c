"""An example as text with its trained tokens marked, by colour or by brackets."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING

from ftc.cli.layout import number, plural
from ftc.cli.terminal import STYLES, Terminal, escape

if TYPE_CHECKING:
    from ftc.data.kept.shown import ShownExample

OPEN, CLOSE = "⟦", "⟧"
NEWLINE, TAB = "⏎", "⇥"
LONGEST_RUN = 2000
"""Characters of a stretch without loss that are shown unless all are wanted."""
SHOWN_ENDS = 600
"""Characters shown at either end of a longer stretch."""


def _runs(tokens: Iterable[tuple[str, bool]]) -> Iterable[tuple[str, bool]]:
    """Neighbouring tokens of one kind, joined."""
    for trained, group in groupby(tokens, key=lambda token: token[1]):
        yield "".join(text for text, _ in group), trained


def _abridged(text: str) -> str:
    hidden = len(text) - 2 * SHOWN_ENDS
    note = f"\n… {plural(hidden, 'character')} without loss not shown; --full shows them …\n"
    return text[:SHOWN_ENDS] + note + text[-SHOWN_ENDS:]


def visible(text: str, *, brackets: bool) -> str:
    """Untrusted text with line ends, tabs and control characters made visible."""
    if brackets:
        text = text.replace(OPEN, "<U+27E6>").replace(CLOSE, "<U+27E7>")
    return escape(text.replace("\n", f"{NEWLINE}\n").replace("\t", TAB))


def colored(text: str) -> str:
    """Each line by itself in the trained style, so that no background runs to the screen's edge."""
    start, end = f"\x1b[{STYLES['trained']}m", "\x1b[0m"
    return "\n".join(f"{start}{line}{end}" if line else "" for line in text.split("\n"))


def _bracketed(text: str) -> str:
    """The text in brackets; a last line end stays inside, its bracket before the break."""
    body, end = (text[:-1], "\n") if text.endswith("\n") else (text, "")
    return f"{OPEN}{body}{CLOSE}{end}"


def _marked(text: str, *, trained: bool, color: bool, full: bool) -> str:
    shown = visible(text, brackets=not color)
    if not trained:
        return shown if full or len(shown) <= LONGEST_RUN else _abridged(shown)
    return colored(shown) if color else _bracketed(shown)


def facts(example: ShownExample) -> str:
    """The side of a compiled row and its tokens."""
    label = f", label {visible(example.label, brackets=False)}" if example.label is not None else ""
    return f"{example.part}, {plural(example.length, 'token')}, {number(example.trained)} with loss{label}"


def marked_lines(
    stretches: Iterable[tuple[str, bool]], terminal: Terminal, *, full: bool = False
) -> list[str]:
    """A text with its trained stretches marked, in lines."""
    color = terminal.color_out
    text = "".join(_marked(run, trained=trained, color=color, full=full) for run, trained in _runs(stretches))
    return text.removesuffix("\n").split("\n")


def example_lines(example: ShownExample, terminal: Terminal, *, full: bool = False) -> list[str]:
    """The example's heading and its text."""
    heading = f"{terminal.style(example.id, 'strong')}  {terminal.style(facts(example), 'dim')}"
    if example.members:
        from ftc.cli.member_view import member_lines

        return [heading, *member_lines(example.members, terminal, full=full)]
    return [heading, *marked_lines(example.tokens, terminal, full=full)]


def legend(terminal: Terminal) -> str:
    """What the marks mean."""
    if terminal.color_out:
        return f"{colored('coloured')} tokens carry loss; {NEWLINE} is a line end, {TAB} a tab"
    return f"{OPEN}bracketed{CLOSE} tokens carry loss; {NEWLINE} is a line end, {TAB} a tab"
