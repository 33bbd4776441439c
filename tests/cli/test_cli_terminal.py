from __future__ import annotations

import io
import json
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftc.cli import layout
from ftc.cli.terminal import Terminal, escape, wants_color

PLAIN = Terminal(color_out=False, color_err=False, width=80, interactive=False)
COLORED = Terminal(color_out=True, color_err=True, width=80, interactive=False)


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("mode", "stream", "environment", "wanted"),
    [
        ("auto", Tty(), {}, True),
        ("auto", io.StringIO(), {}, False),
        ("auto", Tty(), {"NO_COLOR": "1"}, False),
        ("auto", Tty(), {"NO_COLOR": ""}, True),
        ("auto", Tty(), {"TERM": "dumb"}, False),
        ("auto", io.StringIO(), {"FORCE_COLOR": "1"}, True),
        ("auto", io.StringIO(), {"FORCE_COLOR": "0"}, False),
        ("auto", Tty(), {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ("always", io.StringIO(), {"NO_COLOR": "1"}, True),
        ("never", Tty(), {"FORCE_COLOR": "1"}, False),
    ],
)
def test_colour_is_decided_by_option_environment_and_stream(
    mode, stream, environment, wanted, monkeypatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert wants_color(stream, mode) is wanted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("\x1b]0;title\x07", "␛]0;title␇"),
        ("a\rb\x08\x00\x7f", "a␍b␈␀␡"),
        ("\x9b31m", "<U+009B>31m"),
        ("right\u202eleft", "right<U+202E>left"),
        ("lone \ud800", "lone <U+D800>"),
        ("tab\tline\nend é 👩\u200d🚀", "tab\tline\nend é 👩\u200d🚀"),
    ],
)
def test_untrusted_text_can_do_nothing_to_the_terminal(text: str, shown: str) -> None:
    assert escape(text) == shown


@given(st.text(st.characters(exclude_categories=[])), st.sampled_from(["strong", "error", "trained"]))
def test_only_our_own_styles_reach_the_terminal(text: str, style: str) -> None:
    colored = COLORED.style(text, style)
    assert not [
        c for c in PLAIN.style(text, style) if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"
    ]
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == PLAIN.style(text, style)
    assert colored.count("\x1b") == (2 if text else 0)


def test_output_is_made_harmless_even_if_a_command_forgot(capsys) -> None:
    PLAIN.out("a\x1b[2Jb")
    COLORED.out("\x1b[1;31mred\x1b[0m a\x1b[2Jb\x1b[8mc")
    assert capsys.readouterr().out == "a␛[2Jb\n\x1b[1;31mred\x1b[0m a␛[2Jb␛[8mc\n"


def test_a_narrow_encoding_gets_escapes_instead_of_a_crash(monkeypatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii", newline="\n"))
    PLAIN.out("⟦é⟧")
    PLAIN.document({"é": "\x1b"})
    import sys

    sys.stdout.flush()
    text = raw.getvalue()
    assert text.startswith(b"\\u27e6\\xe9\\u27e7\n")
    assert json.loads(text.split(b"\n", 1)[1]) == {"é": "\x1b"}


@pytest.mark.parametrize(("columns", "width"), [("20", 40), ("72", 72), ("500", 100)])
def test_the_width_is_the_terminals_within_reason(columns, width, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert Terminal.open().width == width


def test_layout_of_numbers() -> None:
    assert [layout.size(n) for n in (0, 999, 1_234, 335_858, 93_000_000, 2e13)] == [
        "0 B",
        "999 B",
        "1.2 kB",
        "336 kB",
        "93 MB",
        "20.0 TB",
    ]
    assert [layout.duration(s) for s in (0.4, 59.4, 59.6, 185, 3720)] == [
        "0 s",
        "59 s",
        "1:00 min",
        "3:05 min",
        "1:02 h",
    ]
    assert [layout.percent(*p) for p in ((0, 0), (1, 20), (46, 1000), (1, 1), (600, 6028))] == [
        "0 %",
        "5.0 %",
        "4.6 %",
        "100 %",
        "10 %",
    ]
    assert [layout.plural(n, "row") for n in (0, 1, 2000)] == ["0 rows", "1 row", "2,000 rows"]


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), min_size=1, max_size=5))
def test_a_table_is_aligned_by_what_is_seen(rows) -> None:
    clean = [tuple(re.sub(r"[\s\x00-\x1f\x7f-\x9f]", "x", cell) for cell in row) for row in rows]
    widest = max(layout.display_width(first) for first, _ in clean)
    for line, (first, second) in zip(layout.table(clean), clean, strict=True):
        assert line.startswith(first)
        if second:
            assert layout.display_width(line) == widest + 2 + layout.display_width(second)


@given(st.text(), st.integers(5, 60))
def test_a_clipped_text_fits(text: str, width: int) -> None:
    clipped = layout.clip(text, width)
    assert layout.display_width(clipped) <= width
    assert "\n" not in clipped
