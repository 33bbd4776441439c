"""Content is untrusted: escape codes, bidi marks, HTML and Markdown in data act nowhere they are shown."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from fake_runs import FakeRuntime
from ftc.artifact import build as build_module
from ftc.artifact.cards.markdown import code, plain, prose, table
from ftc.cli.main import run
from ftc.cli.progress import Lines
from ftc.cli.terminal import Terminal, escape
from ftc.runtime.events import Failed, Warned

EVIL = "\x1b]0;owned\x07\x1b[8m\u202etxt.exe\u2066<script>alert(1)</script>[x](javascript:alert(1))`|](http://evil)"
TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
OWN_STYLE = re.compile("\x1b\\[[0-9;]*m")
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def acts(text: str) -> set[str]:
    """Characters that act on a terminal or turn text around, line breaks and tabs aside."""
    return {
        one
        for one in text
        if (unicodedata.category(one) == "Cc" and one not in "\n\t")
        or unicodedata.bidirectional(one) in TURNING
        or one in "\u200e\u200f\u061c\u2028\u2029"
    }


@given(st.text() | st.text(alphabet="\x1b[]0;8m\x07\x9b\u202e\u061c\u2067\u200fa\r\b"))
def test_nothing_that_is_escaped_acts(text: str) -> None:
    assert not acts(escape(text))


def test_only_the_terminals_own_styles_pass(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(color_out=True, color_err=True, width=80, interactive=False)
    lines = Lines(terminal)
    lines.event(Warned(f"{EVIL} \x1b[5m \x1b[30;40m"))
    terminal.out(EVIL)
    said = capsys.readouterr()
    for hidden in ("\x1b[8m", "\x1b[5m", "\x1b[30;40m", "\x1b]", "\x07", "\u202e", "\u2066"):
        assert hidden not in said.out + said.err


def tokens(text: str) -> list[Any]:
    """All tokens of a Markdown text, those inside of others too."""
    return [one for token in MARKDOWN.parse(text) for one in (token, *(token.children or ()))]


def dangerous(text: str) -> list[str]:
    """HTML and links that a Markdown text comes to; `<code>` is the cards' own."""
    html = [one.content for one in tokens(text) if one.type in ("html_block", "html_inline")]
    links = [str(one.attrs.get("href")) for one in tokens(text) if one.type == "link_open"]
    own = ("<code>", "</code>")
    return [
        *(one for one in html if one not in own),
        *(one for one in links if "evil" in one or "java" in one),
    ]


@given(st.text(max_size=60) | st.text(alphabet="`|\\<>[]()*_&#~:/ab!\n-", max_size=40))
def test_any_text_stays_text_in_a_card(text: str) -> None:
    cells = table(("a", "b"), [(code(text), plain(text))])
    assert dangerous(cells) == []
    assert [one.type for one in tokens(cells)].count("td_open") == 2
    assert dangerous(f"before {plain(text)} after") == []


@given(st.text(alphabet="`|\\<>*_&#~ab!- ", min_size=1, max_size=30))
def test_code_shows_the_very_text(text: str) -> None:
    import html

    rendered = MARKDOWN.render(table(("a",), [(code(text),)]))
    (cell,) = re.findall("<td>(.*?)</td>", rendered, re.DOTALL)
    shown = html.unescape(re.sub("</?code>", "", cell))
    assert shown == " ".join(text.split())


def test_prose_of_a_card_has_markdown_and_no_html() -> None:
    text = prose("*Good* for <b>all</b>\n\n```\nan open fence\n\n<script>x</script>\n")
    assert dangerous(text) == []
    assert "em_open" in {one.type for one in tokens(text)}
    assert "fence" not in {one.type for one in tokens(text)}


def test_what_stands_in_the_data_acts_nowhere(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Row ids, texts, column names, labels and file names, through every command and into every page."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(build_module, "launch", FakeRuntime())
    monkeypatch.setattr("ftc.artifact.documents.DOCUMENTS", documents())
    name = EVIL.replace("/", "")
    rows = [{"key": f"{EVIL}{n}", "p": f"{EVIL} {n}", "c": EVIL if n % 2 else "b"} for n in range(8)]
    (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "{broken\n")
    shown = json.dumps(name, ensure_ascii=True)[1:-1]
    (tmp_path / "recipe.toml").write_text(
        f'name = "planted"\n[model]\nbase = "{tiny_model}"\n[data]\ninvalid = "drop"\nid = "key"\n'
        f'sources.rows = {{ path = "{shown[:8]}*.jsonl", format = "jsonl" }}\nsplit = {{ eval = 2 }}\n'
        'query = "select key, p as prompt, c as completion from rows"\n[train]\nsteps = 1\nbatch = 2\n'
        '[card]\nintended_use = "<img src=x onerror=alert(1)> *all*"\nauthors = ["<b>Acme</b>"]\n'
    )
    for command in ("check", "plan", "show", "build"):
        run([command, "recipe.toml", "--color", "always"])
    run(["runs", "--color", "always"])
    said = capsys.readouterr()
    seen = OWN_STYLE.sub("", said.out + said.err)
    assert not acts(seen)
    assert "\x1b[8m" not in said.out + said.err
    (built,) = (path.parent for path in (tmp_path / "runs").rglob("README.md"))
    for page in ("README.md", "DATA_CARD.md"):
        text = (built / page).read_text(encoding="utf-8")
        body = text.split("\n---\n", 1)[1]
        assert dangerous(body) == []
        assert not acts(text)
    json.loads((built / "data" / "croissant.json").read_text(encoding="utf-8"))


def documents() -> tuple[tuple[str, str], ...]:
    """The documents of this folder's subject; the page and the provenance have tests of their own."""
    from ftc.artifact.documents import DOCUMENTS

    return tuple(line for line in DOCUMENTS if ".cards." in line[1])


def test_messages_of_failures_are_shown_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    from ftc.cli.findings import report_findings
    from ftc.diagnostics import Finding

    terminal = Terminal(color_out=True, color_err=True, width=80, interactive=False)
    failed = Failed("FTC703", EVIL, (EVIL,), (EVIL,))
    finding = Finding(failed.code, failed.message, place=EVIL, help=failed.help, notes=failed.log, label=EVIL)
    for style in ("full", "concise"):
        report_findings([finding], style, terminal)  # type: ignore[arg-type]
    said = capsys.readouterr().err
    assert not acts(OWN_STYLE.sub("", said))
    assert "\x1b[8m" not in said
