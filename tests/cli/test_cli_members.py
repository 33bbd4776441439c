"""Pairs in the terminal: what two answers share, then one beside the other."""

from __future__ import annotations

import pytest

from ftc.cli.member_view import member_lines
from ftc.cli.terminal import Terminal
from ftc.data.kept.shown import ShownMember

PROMPT = ("a question\n", False)
MEMBERS = (
    ShownMember("chosen", (PROMPT, ("yes, " * 12 + "indeed", True), ("\n", False)), 20, 15),
    ShownMember("rejected", (PROMPT, ("no", True), ("\n", False)), 6, 1),
)


def terminal(width: int) -> Terminal:
    return Terminal(color_out=False, color_err=False, width=width, interactive=False)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal_and_nothing_is_lost(width: int) -> None:
    lines = member_lines(MEMBERS, terminal(width))
    assert lines[0] == "a question⏎"
    assert all(len(line) <= width for line in lines)
    assert "".join(lines).count("yes,") + "".join(lines).count("yes") >= 12
    assert any("⟦no⟧" in line for line in lines)


def test_narrow_terminals_have_one_under_the_other() -> None:
    lines = member_lines(MEMBERS * 2, terminal(60))
    heads = [line for line in lines if "with loss" in line]
    assert [head.split()[0] for head in heads] == ["chosen", "rejected"] * 2


def test_texts_that_are_read_one_by_one_stand_whole() -> None:
    texts = {"anchor": "what is a", "positive": "what is b"}
    read = [ShownMember(name, ((text, False),), 3, 0) for name, text in texts.items()]
    assert member_lines(read, terminal(80))[-1].split("  ")[0] == "what is a"
