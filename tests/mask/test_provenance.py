"""A traced string is the string it stands for, and never claims an origin that is not so."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftc.data.template.provenance import CONTINUED, FIRST_SOURCE, LITERAL, LOST, Traced, concatenate, join
from ftc.data.template.trace_json import traced_json

texts = st.text(alphabet='aB </>\n\t"\\ßéİ👩\u200d', max_size=14)
short = st.text(alphabet="aB <\n", min_size=1, max_size=2)

KEPT: list[tuple[str, Callable[[str, str], Any]]] = [
    ("strip", lambda s, _: s.strip()),
    ("strip chars", lambda s, c: s.strip(c)),
    ("lstrip", lambda s, _: s.lstrip()),
    ("rstrip", lambda s, c: s.rstrip(c)),
    ("split", lambda s, _: s.split()),
    ("split once", lambda s, _: s.split(None, 1)),
    ("split by", lambda s, c: s.split(c)),
    ("split by once", lambda s, c: s.split(c, 1)),
    ("rsplit by once", lambda s, c: s.rsplit(c, 1)),
    ("rsplit", lambda s, _: s.rsplit(None, 1)),
    ("splitlines", lambda s, _: s.splitlines()),
    ("splitlines with ends", lambda s, _: s.splitlines(True)),
    ("partition", lambda s, c: list(s.partition(c))),
    ("rpartition", lambda s, c: list(s.rpartition(c))),
    ("removeprefix", lambda s, c: s.removeprefix(c)),
    ("removesuffix", lambda s, c: s.removesuffix(c)),
    ("slice", lambda s, _: s[1:-1]),
    ("stepped slice", lambda s, _: s[::-2]),
    ("characters", lambda s, _: list(s)),
    ("concatenation", lambda s, c: c + s + c),
    ("repetition", lambda s, _: s * 2),
    ("replace", lambda s, c: s.replace(c, "xyz")),
    ("replace once", lambda s, c: s.replace(c, "", 1)),
    ("join", lambda s, c: s.join([c, s, c])),
    ("join in", lambda s, c: join(c, [s, s])),
]
RECASED: list[Callable[[str], str]] = [
    str.lower,
    str.upper,
    str.capitalize,
    str.title,
    str.swapcase,
    str.casefold,
]


def origins(value: str) -> list[tuple[int, int]]:
    """Source and offset of every character."""
    assert isinstance(value, Traced)
    assert sum(length for length, _, _ in value.runs) == len(value)
    return [
        (source, offset if offset == CONTINUED else offset + i)
        for length, source, offset in value.runs
        for i in range(length)
    ]


def traced(text: str) -> Traced:
    return Traced(text, ((len(text), FIRST_SOURCE, 0),) if text else ())


@pytest.mark.parametrize(("_name", "operation"), KEPT, ids=[name for name, _ in KEPT])
@settings(max_examples=60, deadline=None)
@given(text=texts, other=short)
def test_operations_keep_origins(
    _name: str, operation: Callable[[str, str], Any], text: str, other: str
) -> None:
    expected = operation(text, other)
    result = operation(traced(text), other)
    assert result == expected
    for piece in result if isinstance(result, list) else [result]:
        for char, (source, offset) in zip(piece, origins(piece), strict=True):
            assert source in (FIRST_SOURCE, LOST)
            if source == FIRST_SOURCE:
                assert text[offset] == char


@pytest.mark.parametrize("recase", RECASED, ids=[method.__name__ for method in RECASED])
@given(text=texts)
def test_case_mappings_keep_origins_or_lose_them(recase: Callable[[str], str], text: str) -> None:
    result = getattr(traced(text), recase.__name__)()
    assert result == recase(text)
    for char, (source, offset) in zip(result, origins(result), strict=True):
        assert source == LOST or text[offset].casefold() == char.casefold()


@pytest.mark.parametrize(
    "operation",
    [
        lambda s: s.center(40),
        lambda s: s.zfill(40),
        lambda s: f"{s}!",
        lambda s: "%s!" % (s,),  # noqa: UP031
        lambda s: "{}!{}".format(s, s),  # noqa: UP032
        lambda s: "".join([s, "!"]),
        lambda s: s.translate({97: "b"}),
        lambda s: s.expandtabs(),
        lambda s: repr(s) + "!",
    ],
)
def test_what_is_not_understood_is_a_plain_string(operation: Callable[[str], str]) -> None:
    assert type(operation(traced("a\tb"))) is str
    assert origins(Traced("") + operation(traced("a\tb")))[0][0] == LOST


json_values = st.recursive(
    st.one_of(texts, st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)


def wrapped(value: Any, sources: list[str]) -> Any:
    if isinstance(value, str):
        sources.append(value)
        return Traced(value, ((len(value), FIRST_SOURCE + len(sources) - 1, 0),) if value else ())
    if isinstance(value, list):
        return [wrapped(item, sources) for item in value]
    if isinstance(value, dict):
        return {wrapped(key, sources): wrapped(item, sources) for key, item in value.items()}
    return value


@settings(max_examples=200, deadline=None)
@given(
    value=json_values,
    ensure_ascii=st.booleans(),
    indent=st.sampled_from([None, 0, 2, "\t"]),
    separators=st.sampled_from([None, (",", ":")]),
    sort_keys=st.booleans(),
)
def test_json_is_that_of_the_standard_library(value: Any, **options: Any) -> None:
    sources: list[str] = []
    result = traced_json(wrapped(value, sources), **options)
    assert result == json.dumps(value, **options)
    for char, (source, offset) in zip(result, origins(result), strict=True):
        assert source != LOST
        if source >= FIRST_SOURCE and offset != CONTINUED:
            assert char in (sources[source - FIRST_SOURCE][offset], "\\")


def test_plain_chunks_of_a_template_are_its_own_text() -> None:
    result = concatenate(["<a>", traced("b"), "</a>"])
    assert [source for source, _ in origins(result)] == [LITERAL] * 3 + [FIRST_SOURCE] + [LITERAL] * 4
