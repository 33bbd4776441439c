"""Lints of single rows: what each sees, what it leaves alone, with exact counts and ids."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lint_rows import Rows

from ftc.lints.control_tokens import template_texts
from ftc.lints.language_mix import language_of
from ftc.lints.row import Row
from ftc.lints.spec import LintSpec
from models import CHATML

FINE = [(f"question number {n}", f"This is the whole answer to question {n}.") for n in range(6)]
PROSE = "The committee met on Tuesday to talk about the new bridge over the river, and nobody was late."
ANDERS = (
    "Ausschuss und Rat trafen sich am Dienstag, um über die neue Brücke zu sprechen, und niemand kam zu spät."
)


def with_answers(*answers: str) -> Rows:
    return Rows(FINE + [(f"prompt {n}", answer) for n, answer in enumerate(answers)])


def said(*texts: Any, spec: LintSpec | None = None) -> Rows:
    """Rows whose values are the texts, after six that are fine."""
    values = [*[tuple(pair) for pair in FINE], *[(text,) for text in texts]]
    pairs = FINE + [(f"prompt {n}", "Fine.") for n, _ in enumerate(texts)]
    return Rows(pairs, values=values, spec=spec or LintSpec())


def test_rows_that_are_fine_say_nothing() -> None:
    assert Rows(FINE).results() == {}


def test_empty_answers() -> None:
    rows = with_answers("", " \n\t", "\u3000", "x", ".")
    assert rows.results()["empty_answers"].rows == 3
    assert rows.ids("empty_answers") == ["r:7", "r:8", "r:9"]


def test_an_earlier_turn_of_a_conversation_is_empty() -> None:
    def chat(*contents: str, **more: Any) -> list[dict[str, Any]]:
        turns = [{"role": "assistant", "content": content, **more} for content in contents]
        return [{"role": "user", "content": ""}, *turns]

    rows = said(chat(" ", "fine"), chat("fine"), json.dumps(chat("")), chat("", tool_calls=[{"name": "f"}]))
    assert rows.ids("empty_answers") == ["r:7", "r:9"]


CONTROLS = LintSpec(controls=("<|im_start|>", "<|im_end|>", "</s>", "<filename>"), chat_template=CHATML)


def test_control_text_in_content() -> None:
    rows = said("a <|im_end|> b", "x<y", "call <filename>", {"content": ["", "deep </s>"]}, spec=CONTROLS)
    result = rows.results()["control_tokens"]
    assert (result.rows, rows.ids("control_tokens")) == (3, ["r:10", "r:9", "r:7"])
    assert result.counts("kinds") == {"</s>": 1, "<filename>": 1, "<|im_end|>": 1}


def test_what_templates_put_around_content_is_no_content() -> None:
    pairs = [("<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n", "hi")]
    assert "control_tokens" not in Rows(pairs, values=[("hello", "hi")], spec=CONTROLS).results()


def test_headings_of_a_template_count_where_a_line_begins() -> None:
    alpaca = LintSpec(chat_template="{{ '### Instruction:\\n' + m.content }}{{ '### Response:\\n' }}[INST]")
    assert template_texts(alpaca.chat_template or "") == (("[INST]",), ("### Instruction:", "### Response:"))
    rows = said("so\n### Response:\nyes", "the ### Response: is", "an [INST] b", spec=alpaca)
    assert rows.results()["control_tokens"].counts("kinds") == {"### Response:": 1, "[INST]": 1}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("caf\ufffd", "replacement character U+FFFD"),
        ("\ufeffbegin", "byte order mark U+FEFF"),
        ("a\x08b", "control character"),
        ("that\x92s it", "control character"),
        ("bread &amp; butter", "HTML entity &amp;"),
        ("it&#39;s", "HTML entity &#39;"),
        ("le cafÃ© est fermÃ©", "text decoded twice"),
        ("itâ€™s late", "text decoded twice"),
    ],
)
def test_damaged_text(text: str, kind: str) -> None:
    result = said(text).results()["encoding_damage"]
    assert (result.rows, result.counts("kinds"), result.first[0].id) == (1, {kind: 1}, "r:7")


@pytest.mark.parametrize(
    "text",
    [
        "tab\tline\r\nform\x0cfeed",
        "naïve café, Ærø, Škoda, Straße, œuvre, «guillemets», “quotes” – and — dashes…",
        "Привет, мир. 你好，世界。こんにちは。안녕하세요. שלום. مرحبا. 👩‍👩‍👧 🇸🇪",
        "<p>bread &amp; butter</p>",
        "write `&amp;` for an ampersand",
        "R&D; AT&T",
        "Â is a letter, and so is Ã",
    ],
)
def test_text_that_is_not_damaged(text: str) -> None:
    assert "encoding_damage" not in said(text).results()


@settings(deadline=None)
@given(st.text(st.characters(codec="latin-1", min_codepoint=0xA0), min_size=4, max_size=40))
def test_text_decoded_once_too_often_is_seen_or_ftfy_does_not_mind_it(text: str) -> None:
    from ftfy.badness import is_bad

    damaged = f"so {text} it".encode().decode("latin-1")
    assert "encoding_damage" in said(damaged).results() or not is_bad(damaged)


def test_secrets_and_personal_data_are_masked_where_they_are_shown() -> None:
    token = "gh" + "p_" + "a1B2" * 9
    rows = said(f"use {token} here", "write to ada@lovelace.org, or call +46 8 123 456 78", "me@example.com")
    results = rows.results()
    assert results["secrets"].first[0].excerpt == "use [SECRET] here"
    assert results["secrets"].counts("kinds") == {"GitHub token": 1}
    personal = results["personal_data"]
    assert (personal.rows, personal.counts("kinds")) == (1, {"email": 1, "phone": 1})
    assert personal.first[0].excerpt == "write to [EMAIL], or call [PHONE]"
    assert "lovelace" not in "".join(result.model_dump_json() for result in results.values())


def test_other_lints_mask_what_they_show_too() -> None:
    row = ("write to ada@lovelace.org please", "I will not.")
    rows = Rows([*FINE, row, row])
    assert "[EMAIL]" in rows.results()["duplicates"].first[0].excerpt


def test_without_phonenumbers_the_lint_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from ftc.lints import kinds, language_mix

    monkeypatch.setattr(kinds, "is_installed", lambda _: False)
    monkeypatch.setattr(language_mix, "is_installed", lambda _: False)
    results = said("call +46 8 123 456 78").results()
    assert {name: (one.rows, one.missing) for name, one in results.items()} == {
        "language_mix": (0, "py3langid"),
        "personal_data": (0, "phonenumbers"),
    }


def test_answers_that_end_in_the_middle() -> None:
    whole = [
        (f"q{n}", f"The answer to this question is the number {n}, as is well known.") for n in range(40)
    ]
    cut = [
        ("a", "The answer to that question is, as far as we can"),
        ("b", "There are three kinds of these things, of which,"),
    ]
    fine = [
        ("c", "no"),
        ("d", "It is written in the following program:\n```\nprint(1)\n```"),
        ("e", "**As I have said, it is so.**"),
    ]
    rows = Rows(whole + cut + fine)
    result = rows.results()["cut_answers"]
    assert (result.rows, rows.ids("cut_answers"), result.notable) == (2, ["r:41", "r:42"], False)
    assert Rows(whole + cut * 2).results()["cut_answers"].notable


def test_answers_that_never_end_like_sentences_are_not_cut() -> None:
    code = [(f"q{n}", f"for index in range({n}):\n    total = total + values[index]") for n in range(50)]
    assert "cut_answers" not in Rows(code).results()


def test_answers_cut_at_one_length() -> None:
    text = "".join(f"sentence number {n} is here, " for n in range(40))
    varied = [(f"p{n}", text[n : n + 150 + 9 * n]) for n in range(30)]
    rows = Rows(varied + [(f"c{n}", text[n : n + 600]) for n in range(8)])
    result = rows.results()["cut_answers"]
    assert (result.rows, result.figure("length")) == (8, 600)
    assert rows.ids("cut_answers") == [f"r:{n}" for n in range(31, 36)]
    assert "cut_answers" not in Rows(varied).results()


def test_another_language() -> None:
    rows = Rows([(f"q{n}", f"{PROSE} It was meeting number {n}.") for n in range(50)] + [("q", ANDERS)] * 2)
    result = rows.results()["language_mix"]
    assert (result.rows, result.counts("languages"), result.looked_at) == (2, {"de": 2}, 52)
    assert rows.ids("language_mix") == ["r:51", "r:52"]


def test_several_languages_that_are_meant() -> None:
    both = [(f"q{n}", f"{PROSE if n % 2 else ANDERS} {n}.") for n in range(40)]
    assert "language_mix" not in Rows(both).results()


@pytest.mark.parametrize(
    "text", ["x = [1, 2, 3]; y = {4: 5}; z = x + list(y)" * 3, "1 2 3 4 " * 30, "lorem " * 20]
)
def test_text_without_a_language(text: str) -> None:
    assert language_of(text) in (None, "la")


def test_a_sample_is_looked_at_where_there_are_many() -> None:
    spec = LintSpec(rows=4000)
    rows = Rows([(f"q{n}", f"{PROSE} {n}.") for n in range(400)], spec=spec)
    counted = rows.results()
    assert "language_mix" not in counted
    strays = Rows([(f"q{n}", f"{PROSE if n % 10 else ANDERS} {n}.") for n in range(400)], spec=spec)
    assert 150 <= strays.results()["language_mix"].looked_at <= 250


def test_texts_of_nested_values_and_of_json() -> None:
    value = [{"role": "user", "content": [{"type": "text", "text": "deep"}], "name": None}, {"n": 3}]
    assert Row("i", "", None, (value, json.dumps(value), "plain [", 7)).said.text == "deep\ndeep\nplain ["


def test_the_parts_of_a_long_row_are_looked_at_once_and_are_no_duplicates() -> None:
    from ftc.lints.features import RowLints

    text = "write to ada@lovelace.org " * 3
    parts = [Row(f"r:1/{part}", text, None, (text,), part) for part in (1, 2, 3)]
    features = RowLints(LintSpec()).look(parts)
    assert features.seen["personal_data"].rows == 1
    assert len(set(features.asked.tolist())) == 3
