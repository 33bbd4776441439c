"""Texts are cut by the rule, and every character is in one document or in the white space between two."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ftc.facts.sources.chunks import Chunk, Rule, chunks

TEXTS = st.text(
    st.sampled_from("aé漢\u0301# \t`~\n\r\x0b\x85\u2028") | st.characters(exclude_categories=("Cs",)),
    max_size=60,
)
PIECES = st.lists(
    st.sampled_from(
        [
            "word ",
            "漢字",
            "\n",
            "\r\n",
            "\n\n",
            "# Head\n",
            "## Two ##\r\n",
            "```\n",
            "~~~~\n",
            "  ",
            "e\u0301",
            "\t",
        ]
    ),
    max_size=40,
).map("".join)
RULES = st.builds(
    Rule, st.sampled_from(["file", "heading", "paragraph", "line"]), st.none() | st.integers(1, 60)
)


def cut(text: str, rule: Rule) -> list[Chunk]:
    return list(chunks(io.StringIO(text, newline=""), rule))


@settings(max_examples=500, deadline=None)
@given(TEXTS | PIECES, RULES)
@example("", Rule())
@example("\n \n", Rule("paragraph"))
@example("a\r\n\r\nb", Rule("line", 1))
def test_every_character_is_in_one_document_or_between_two(text: str, rule: Rule) -> None:
    at = 0
    for chunk in cut(text, rule):
        start = text.index(chunk.text, at)
        assert not text[at:start].strip(), "only white space is left out"
        at = start + len(chunk.text)
        assert chunk.text.strip()
    assert not text[at:].strip()


@settings(max_examples=300, deadline=None)
@given(TEXTS | PIECES, RULES)
def test_no_document_is_longer_than_it_may_be(text: str, rule: Rule) -> None:
    for chunk in cut(text, rule):
        assert rule.characters is None or len(chunk.text) <= rule.characters


@settings(deadline=None)
@given(TEXTS | PIECES)
def test_a_file_that_is_one_document_is_that_file(text: str) -> None:
    assert [chunk.text for chunk in cut(text, Rule())] == ([text] if text.strip() else [])


@settings(deadline=None)
@given(PIECES)
def test_lines_are_those_of_the_text(text: str) -> None:
    expected = [line.rstrip() for line in re.split(r"\r\n|\n|\r", text) if line.strip()]
    assert [chunk.text for chunk in cut(text, Rule("line"))] == expected


MARKDOWN = """\
preface

# One #
text of one

```
# no heading
```
## Two
text of two

\ttail
"""


def test_sections_begin_at_headings() -> None:
    found = [(chunk.heading, chunk.text) for chunk in cut(MARKDOWN, Rule("heading"))]
    assert found == [
        (None, "preface"),
        ("One", "# One #\ntext of one\n\n```\n# no heading\n```"),
        ("Two", "## Two\ntext of two\n\n\ttail"),
    ]


def test_paragraphs_know_their_heading() -> None:
    found = [(chunk.heading, chunk.text) for chunk in cut(MARKDOWN, Rule("paragraph"))]
    assert found == [
        (None, "preface"),
        ("One", "# One #\ntext of one"),
        ("One", "```\n# no heading\n```\n## Two\ntext of two"),
        ("Two", "\ttail"),
    ]


@pytest.mark.parametrize(
    ("text", "rule", "expected"),
    [
        ("a\n\nb\n\nc", Rule("paragraph", 4), ["a", "b\n\nc"]),
        ("a\n\nb\n\nc", Rule("paragraph", 6), ["a\n\nb", "c"]),
        ("a\nb\nc\n", Rule("line", 4), ["a\nb", "c"]),
        ("one two three four", Rule("file", 10), ["one two", "three four"]),
        ("aaaa\nbb cc dddd", Rule("line", 8), ["aaaa", "bb cc", "dddd"]),
        ("aaaaaaaaaa", Rule("file", 4), ["aaaa", "aaaa", "aa"]),
        ("title\n\naaaa bbbb cccc dddd", Rule("heading", 20), ["title\n\naaaa bbbb", "cccc dddd"]),
        ("abce\u0301f", Rule("file", 4), ["abc", "e\u0301f"]),
    ],
)
def test_where_a_text_is_cut(text: str, rule: Rule, expected: list[str]) -> None:
    assert [chunk.text for chunk in cut(text, rule)] == expected


def test_the_rule_in_words() -> None:
    assert str(Rule()) == "each file is one document"
    assert str(Rule("line")).startswith(
        "each line is one document; white space between documents is left out"
    )
    assert "paragraphs are gathered up to 2,000 characters" in str(Rule("paragraph", 2000))
    assert "gathered" not in str(Rule("heading", 2000))
