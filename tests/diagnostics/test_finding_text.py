"""How findings look: carets under the right cells, nothing that acts on a terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ftc.diagnostics import Finding, Severity, Source, Span
from ftc.diagnostics.codes import CODES
from ftc.diagnostics.explain import explanation
from ftc.diagnostics.json import to_json
from ftc.diagnostics.text import cells, render, render_concise

PAGES = Path(__file__).parents[2] / "compiler" / "ftc" / "diagnostics" / "explain"


def finding_at(text: str, word: str, **more: object) -> Finding:
    start = text.index(word)
    return Finding("FTC102", "no", Span(Source("recipe.toml", text), start, start + len(word)), **more)  # type: ignore[arg-type]


def test_a_finding_in_full() -> None:
    text = "[train]\nepoch = 3\n"
    finding = finding_at(
        text, "epoch", label="here", help=("did you mean `epochs`?", "a\n  b"), notes=("x " * 50,)
    )
    assert render(finding, color=False, width=60).splitlines() == [
        "error[FTC102]: no",
        " --> recipe.toml:2:1",
        "  |",
        "2 | epoch = 3",
        "  | ^^^^^ here",
        "  |",
        "  = help: did you mean `epochs`?",
        "  = help: a",
        "            b",
        "  = note: x x x x x x x x x x x x x x x x x x x x x x x x x",
        "          x x x x x x x x x x x x x x x x x x x x x x x x x",
    ]


def test_a_long_message_is_broken_at_spaces() -> None:
    finding = Finding("FTC809", "one row is in another language than " + "the others " * 8 + "x" * 70)
    plain = render(finding, color=False, width=60)
    assert plain.splitlines() == [
        "error[FTC809]: one row is in another language than the",
        "    others the others the others the others the others the",
        "    others the others the others",
        "    " + "x" * 70,
    ]
    assert re.sub("\x1b\\[[0-9;]*m", "", render(finding, color=True, width=60)) == plain
    assert render(finding, color=False, width=500).count("\n") == 0


@pytest.mark.parametrize(
    ("line", "shown", "before"),
    [
        ("\tx = BAD", "    x = BAD", 8),
        ("a\tBAD", "a    BAD", 5),
        ("質問 = BAD", "質問 = BAD", 7),
        ("'é' = BAD", "'é' = BAD", 6),
        ("'e\u0301' = BAD", "'e\u0301' = BAD", 6),
        ("'😀' = BAD", "'😀' = BAD", 7),
        ("'\u200d' = BAD", "'\u200d' = BAD", 5),
        ("'\x1b[2J' = BAD", "'\\x1b[2J' = BAD", 12),
        ("'\u202e' = BAD", "'\\u202e' = BAD", 11),
    ],
)
def test_carets_stand_under_the_mistake(line: str, shown: str, before: int) -> None:
    lines = render(finding_at(line, "BAD"), color=False).splitlines()
    assert lines[3] == f"1 | {shown}"
    assert lines[4] == f"  | {' ' * before}^^^"
    assert cells(lines[3][: lines[3].index("BAD")]) == len("1 | ") + before


@given(st.text(max_size=300), st.text(max_size=300), st.integers(30, 120))
@example(left="", right="\u20280", width=30)
def test_lines_fit_and_carets_agree_however_long_they_are(left: str, right: str, width: int) -> None:
    line = re.sub(r"[\r\n]", " ", left) + "BAD" + re.sub(r"[\r\n]", " ", right)
    if line.count("BAD") > 1:
        return
    shown, carets = render(finding_at(line, "BAD"), color=False, width=width).splitlines()[3:5]
    assert cells(shown) <= width
    assert cells(shown[: shown.index("BAD")]) == carets.index("^")
    assert carets.count("^") == 3


@given(st.text())
def test_no_text_of_others_acts_on_the_terminal(text: str) -> None:
    source = Source(text, text or " ")
    finding = Finding("FTC102", text, Span(source, 0, 1), text, place=text, help=(text,), notes=(text,))
    for shown in (render(finding, color=False), render_concise(finding)):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)


def test_a_span_over_lines_is_shown_by_its_first_line() -> None:
    text = 'query = """\nselect\n"""\n'
    finding = Finding("FTC203", "no", Span(Source("r.toml", text), 8, len(text) - 1))
    assert render(finding, color=False).splitlines()[3:5] == ['1 | query = """', "  |         ^^^"]


def test_a_place_stands_alone_or_beside_the_span() -> None:
    alone = Finding("FTC210", "not JSON", place="rows.jsonl:17")
    assert render(alone, color=False) == "error[FTC210]: not JSON\n --> rows.jsonl:17"
    both = finding_at("x = 1", "x", place="rows.jsonl:17")
    assert render(both, color=False).splitlines()[-1] == " ::: rows.jsonl:17"
    assert render_concise(alone) == "rows.jsonl:17: error[FTC210]: not JSON"
    assert render_concise(both) == "recipe.toml:1:1: error[FTC102]: no"


def test_colour_changes_no_text() -> None:
    finding = finding_at(
        "[train]\nepoch = 3\n", "epoch", label="here", help=("a",), severity=Severity.WARNING
    )
    colored = render(finding, color=True)
    assert "\x1b[1;33mwarning[FTC102]\x1b[0m" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == render(finding, color=False)


def test_json_has_both_ends() -> None:
    assert to_json(finding_at("[train]\nepoch = 3\n", "epoch", help=("a",))) == {
        "code": "FTC102",
        "severity": "error",
        "message": "no",
        "file": "recipe.toml",
        "line": 2,
        "column": 1,
        "end_line": 2,
        "end_column": 6,
        "label": "",
        "help": ["a"],
        "notes": [],
        "place": "",
    }
    assert to_json(Finding("FTC110", "no", place="x"))["line"] is None


def test_every_code_is_explained_and_nothing_else() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} == set(CODES)
    for code in CODES:
        page = explanation(code.lower())
        assert page is not None
        assert page.startswith("# ")
        assert len(page.split()) > 20
    assert explanation("FTC999") is None
    assert explanation("../../secret") is None
