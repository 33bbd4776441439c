"""Arrays of JSON are cut into their elements like `json` reads them, and broken ones say where."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftc.facts.sources import json_array
from ftc.facts.sources.json_array import BrokenArray, elements

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.text('"\\[]{},é', max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def cut(text: bytes) -> list[Any]:
    return list(elements(io.BytesIO(text)))


@settings(max_examples=300, deadline=None)
@given(st.lists(VALUES, max_size=6), st.sampled_from([None, 1]), st.integers(1, 40), st.booleans())
def test_elements_are_those_that_json_reads(
    values: list[Any], indent: int | None, block: int, ascii_: bool
) -> None:
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_)
    before, json_array.BLOCK = json_array.BLOCK, block
    try:
        found = cut(text.encode())
    finally:
        json_array.BLOCK = before
    assert [json.loads(element.content) for element in found] == values
    lines = text.split("\n")
    for element in found:
        rest = "\n".join([lines[element.line - 1][element.column - 1 :], *lines[element.line :]])
        assert rest.encode().startswith(element.content)


@settings(deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=5), st.data())
def test_an_array_that_is_cut_off_is_broken(values: list[Any], data: st.DataObject) -> None:
    text = json.dumps(values, ensure_ascii=False).encode()
    with pytest.raises(BrokenArray):
        cut(text[: data.draw(st.integers(0, len(text) - 1))])


@pytest.mark.parametrize(
    ("text", "reason", "line", "column"),
    [
        ('[{"a": 1},\n {"a": "é', "the file ends inside element 2", 2, 10),
        ('[{"a": 1}', "the file ends inside element 1", 1, 10),
        ('[{"a": 1},]', "a comma without an element", 1, 11),
        ("[1,,2]", "a comma without an element", 1, 4),
        ('[{"a": 1]]', "`]` closes nothing", 1, 9),
        ("[1] [2]", "something stands behind the array", 1, 5),
        ("\n  x", "the file is not an array", 2, 3),
        ("", "the file is not an array", 1, 1),
    ],
)
def test_where_an_array_is_broken(text: str, reason: str, line: int, column: int) -> None:
    with pytest.raises(BrokenArray) as caught:
        cut(text.encode())
    assert (caught.value.reason, caught.value.line, caught.value.column) == (reason, line, column)


def test_a_mark_at_the_start_is_no_part_of_it() -> None:
    assert [element.content for element in cut(b'\xef\xbb\xbf [ {"a": 1} ] \n')] == [b'{"a": 1}']
