"""Metrics of form: JSON, schemas, patterns, shapes, lengths, and checks that rows bring along."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftc.evaluation import Answer, Options, ScoreError, load
from ftc.evaluation.form import FORMS

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def value(name: str, answer: str, columns: dict[str, Any] | None = None, **options: Any) -> float | None:
    metric = load(name)
    assert metric.score is not None
    return metric.score(Answer("", answer, "", columns or {}), Options(**options))


def codes(name: str, **options: Any) -> list[str]:
    found = load(name).problems(Options(**options)) + load(name).late_problems(Options(**options))
    return [finding.code for finding in found]


@given(JSON_VALUES)
def test_what_json_writes_is_valid(made: Any) -> None:
    assert value("valid_json", f"\n{json.dumps(made)} ") == 1


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "{",
        "{'a': 1}",
        "NaN",
        '{"a": Infinity}',
        '```json\n{"a": 1}\n```',
        '{"a": 1} ok',
        "[1,]",
        "[" * 100_000,
    ],
    ids=range(9),
)
def test_what_is_not_json(answer: str) -> None:
    assert value("valid_json", answer) == 0


def test_a_long_integer_is_valid() -> None:
    assert value("valid_json", "9" * 5000) == 1


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 0}}, "required": ["n"]}


@pytest.mark.parametrize(
    ("answer", "right"), [('{"n": 3}', 1), ('{"n": -1}', 0), ("{}", 0), ("[3]", 0), ("three", 0)]
)
def test_a_schema_is_kept_or_not(answer: str, right: int) -> None:
    assert value("json_schema", answer, json_schema=SCHEMA) == right


@given(JSON_VALUES)
def test_a_constant_s_schema_takes_that_value(made: Any) -> None:
    assert value("json_schema", json.dumps(made), json_schema={"const": made}) == 1
    assert value("json_schema", json.dumps(made), json_schema=False) == 0


def test_a_row_s_own_schema_stands_above_the_suite_s() -> None:
    columns = {"json_schema": '{"type": "array"}'}
    assert value("json_schema", "[]", columns, json_schema=SCHEMA) == 1
    with pytest.raises(ScoreError, match="not JSON"):
        value("json_schema", "[]", {"json_schema": "{"})
    with pytest.raises(ScoreError, match="json_schema"):
        value("json_schema", "[]", {"json_schema": {"type": "list"}})


def test_what_is_wrong_with_a_schema_is_found_before() -> None:
    assert codes("json_schema") == ["FTC571"]
    assert codes("json_schema", columns=frozenset({"json_schema"})) == []
    assert codes("json_schema", json_schema=SCHEMA) == []
    assert codes("json_schema", json_schema={"type": "list"}) == ["FTC572"]
    (found,) = load("json_schema").problems(Options(json_schema={"$ref": "https://example.org/s.json"}))
    assert "nothing is fetched" in found.message


def test_a_draft_that_a_schema_states_is_followed() -> None:
    old = {"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 3, "exclusiveMinimum": True}
    assert value("json_schema", "3", json_schema=old) == 0
    assert value("json_schema", "4", json_schema=old) == 1


def test_a_pattern_is_searched_between_the_ends() -> None:
    assert value("regex", " AB-12 \n", pattern=r"^[A-Z]{2}-\d+$") == 1
    assert value("regex", "see AB-12", pattern=r"^[A-Z]{2}-\d+$") == 0
    assert value("regex", "see AB-12", {"pattern": r"\d"}) == 1
    assert value("regex", "see") is None


def test_what_is_wrong_with_a_pattern_is_found_before() -> None:
    assert codes("regex") == ["FTC571"]
    (found,) = load("regex").problems(Options(pattern="a("))
    assert found.code == "FTC572"
    assert "character 2" in found.message
    with pytest.raises(ScoreError):
        value("regex", "a", {"pattern": "("})
    with pytest.raises(ScoreError):
        value("regex", "a", {"pattern": 3})


@pytest.mark.parametrize(
    ("form", "right", "wrong"),
    [
        ("json", "[1]", "one"),
        ("fenced", "So:\n```py\nx = 1\n```\n", "```x = 1```"),
        ("bullets", "- a\n\n* b", "Here:\n- a"),
        ("numbered", "1. a\n2) b", "1. a\n3. b"),
        ("one_line", "a b", "a\nb"),
        ("one_word", "word.", "two words"),
        ("uppercase", "ABC 1", "ABc"),
        ("lowercase", "abc 1", "123"),
    ],
)
def test_forms(form: str, right: str, wrong: str) -> None:
    assert value("format", right, form=form) == 1
    assert value("format", wrong, form=form) == 0
    assert value("format", "", form=form) == 0


def test_every_form_is_tested() -> None:
    (mark,) = [one for one in test_forms.pytestmark if one.name == "parametrize"]
    assert {case[0] for case in mark.args[1]} == set(FORMS)


def test_a_beginning_and_an_end() -> None:
    assert value("format", " Dear X, bye! ", starts_with="Dear", ends_with="!") == 1
    assert value("format", "dear X!", starts_with="Dear", ends_with="!") == 0
    assert value("format", "anything") is None
    assert codes("format") == ["FTC571"]
    assert codes("format", form="table") == ["FTC572"]
    assert codes("format", ends_with="!") == []


@pytest.mark.parametrize(("unit", "length"), [("words", 4), ("characters", 17), ("lines", 2), ("tokens", 7)])
def test_a_length_is_counted_in_its_unit(unit: str, length: int) -> None:
    text = " one two\n\nthree fo "
    given = {"unit": unit, "count_tokens": lambda _: 7}
    assert value("length", text, at_least=length, at_most=length, **given) == 1
    assert value("length", text, at_least=length + 1, **given) == 0
    assert value("length", text, at_most=length - 1, **given) == 0


def test_a_length_without_bounds() -> None:
    assert value("length", "a") is None
    assert value("length", "", at_most=3) == 1
    assert codes("length") == ["FTC571"]
    assert codes("length", at_least=3, at_most=2) == ["FTC572"]
    assert codes("length", columns=frozenset({"at_most"})) == []
    with pytest.raises(ValueError, match="tokenizer"):
        value("length", "a", unit="tokens", at_most=3)


def test_all_checks_of_a_row_have_to_hold() -> None:
    checks = [{"metric": "format", "form": "bullets"}, {"metric": "length", "unit": "lines", "at_most": 2}]
    assert value("checks", "- a\n- b", {"checks": checks}) == 1
    assert value("checks", "- a\n- b\n- c", {"checks": checks}) == 0
    assert value("checks", "- a", {"checks": json.dumps(checks)}) == 1
    assert value("checks", "- a") is None
    with pytest.raises(ScoreError, match="not JSON"):
        value("checks", "- a", {"checks": "["})
    with pytest.raises(ScoreError, match="bleu"):
        value("checks", "a", {"checks": [{"metric": "bleu"}]})
    with pytest.raises(ScoreError, match="nothing to check"):
        value("checks", "a", {"checks": [{"metric": "length"}]})
