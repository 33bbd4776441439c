"""The pass over a batch leaves out no row in which a lint sees something."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftc.lints import features, module
from ftc.lints.features import RowLints
from ftc.lints.prefilter import Prefilter, exactly
from ftc.lints.row import Row
from ftc.lints.secret_formats import _ADDRESS, PRIVATE_KEY, TOKENS
from ftc.lints.spec import LintSpec
from models import CHATML

SPEC = LintSpec(
    controls=("<|im_end|>", "</s>", "[PAD]", "<｜end▁of▁sentence｜>", "\n\n"),
    chat_template=CHATML + "### Response:{{ '\nUser:' }}",
)
HINTED = ("control_tokens", "encoding_damage", "secrets", "personal_data")

ANYTHING = st.text(st.characters(), max_size=30)
DIGITS = st.text("0123456789٣৫７²½ -.()/\t\r\n", min_size=5, max_size=30)
KEYS = st.text("abzAZ059_-+/=.:ſKéß٣中", min_size=8, max_size=60)
MARKS = st.text("@&#;:=>\"'`<|>./-_\\ \u00a0\u2028\u3000\x0b\x1c\x85", max_size=8)
FORMS = [form.pattern for form in (*TOKENS, PRIVATE_KEY)] + [_ADDRESS]
WORDS = st.sampled_from(
    [
        *(hint.decode() for form in TOKENS for hint in form.hints),
        *("PRIVATE KEY", "://", "password", "TOKEN", 'api_key = "', "&amp;", "&#", "&#x", "\ufffd", "\ufeff"),
        *(
            "@",
            "ada@",
            "@gmx.de",
            "jürgen@bücher.de",
            "+46 8 ",
            "DE75",
            "4539",
            "Ã",
            "â€",
            "Å\u0178",
            "\ud800",
        ),
        *("<|im_end|>", "<|im_start|>", "### Response:", "\nUser:", "[INST]", "<｜end▁of▁sentence｜>"),
        *(
            "\r\n",
            "a" * 16,
            "x1" * 20,
            "\x00",
            "\x7f",
            "\x9b",
            "\xad",
            "DE75512108001245126199",
            "536-22-8726",
        ),
    ]
)
MADE = st.sampled_from(FORMS).flatmap(st.from_regex)
DAMAGED = st.text(st.characters(min_codepoint=0xA0), min_size=1, max_size=9).map(
    lambda text: text.encode("utf-8", "surrogatepass").decode("cp1252", "replace")
)
TEXTS = st.lists(st.one_of(ANYTHING, DIGITS, KEYS, MARKS, WORDS, WORDS, MADE, DAMAGED), max_size=9).map(
    "".join
)


def row(text: str) -> Row:
    return Row("r:1", "asked", "answer", (text,))


def sees(lint: str) -> tuple[Callable[[str], bool], Callable[[str], bool]]:
    """Whether a lint sees something in a text, and whether the pass lets it through, for that lint alone."""
    look, passes = module(lint).looker(SPEC), Prefilter(module(lint).hints(SPEC))
    return lambda text: look(row(text)) is not None, lambda text: bool(passes([row(text)]))


@pytest.mark.parametrize("lint", HINTED)
def test_nothing_that_a_lint_sees_is_left_out(lint: str) -> None:
    seen, passed = sees(lint)

    @settings(deadline=None, max_examples=200)
    @given(TEXTS)
    def check(text: str) -> None:
        assert passed(text) or not seen(text)

    check()


@pytest.mark.parametrize("form", range(len(FORMS)))
def test_no_form_of_secret_is_left_out(form: int) -> None:
    passes = Prefilter(module("secrets").hints(SPEC))

    @settings(deadline=None, max_examples=25)
    @given(st.from_regex(FORMS[form]), ANYTHING)
    def check(text: str, other: str) -> None:
        texts = [other, text, other + text, text + other]
        wanted = [re.search(FORMS[form], one) is not None for one in texts]
        rows = [row(one) for one in texts]
        passed = passes(rows)
        assert all(one in passed for one, found in zip(rows, wanted, strict=True) if found)

    check()


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=12))
def test_the_pass_changes_no_result(texts: list[str]) -> None:
    fast = RowLints(SPEC).look([row(text) for text in texts])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features.Prefilter, "__call__", lambda _, rows: list(rows))
        assert RowLints(SPEC).look([row(text) for text in texts]).seen == fast.seen


def test_what_stands_in_a_very_long_text() -> None:
    _, passed = sees("personal_data")
    text = "so it is, " * 500_000
    assert not passed(text)
    assert passed(f"{text}ada@lovelace.org")
    assert passed(f"ada@lovelace.org{text}")


@given(st.lists(ANYTHING, min_size=1, max_size=8), ANYTHING)
def test_the_pattern_of_a_text_is_that_text(texts: list[str], wanted: str) -> None:
    passes = Prefilter([exactly(wanted)])
    assert [one.text for one in passes([row(text) for text in texts])] == [
        text
        for text in texts
        if wanted.encode("utf-8", "surrogatepass") in text.encode("utf-8", "surrogatepass")
    ]


def test_plain_rows_are_left_out() -> None:
    plain = [
        "The committee met on Tuesday, and 12 of its 240 members were late; it began at 10:30.",
        "def total(values):\n    return sum(value for value in values if value > 0)\n",
        "委员会星期二开会，讨论了新桥。Комитет собрался во вторник. Où étiez-vous ?",
        "See https://example.org/a/b?c=d&e=f for a state-of-the-art answer; write to us @home, R&D.",
    ]
    assert (
        Prefilter([hint for lint in HINTED for hint in module(lint).hints(SPEC)])(
            [row(text) for text in plain]
        )
        == []
    )
