"""Places in TOML text, checked against the standard library's parser."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftc.recipe.toml_spans import Path, ScanError, scan, scan_until_error, string_parts

BARE = st.from_regex(r"[A-Za-z0-9_-]{1,6}", fullmatch=True)
TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\"'\\\n\t#=[]{},é😀 "), max_size=12
)
SPACE = st.sampled_from(["", " ", "\t", "  "])
GAP = st.sampled_from(["", " ", "\n", ' # note ] } "\n', "\r\n", "\n\n\t"])


def escaped(character: str, how: int) -> str:
    """One of the ways in which a character may stand in a basic string."""
    short = {"\n": "\\n", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
    if character in short:
        return short[character]
    ways = [character, f"\\U{ord(character):08x}"]
    if ord(character) < 0x10000:
        ways.append(f"\\u{ord(character):04X}")
    return ways[how % len(ways)]


@st.composite
def basic(draw: st.DrawFn) -> str:
    text = draw(TEXT)
    return '"' + "".join(escaped(c, draw(st.integers(0, 5))) for c in text) + '"'


@st.composite
def multiline_basic(draw: st.DrawFn) -> str:
    parts = [draw(st.sampled_from(["", "\n", "\r\n", "\\\n   \n\t", "\\  \r\n "]))]
    for character in draw(TEXT):
        plain = character not in '"\\' and draw(st.booleans())
        parts.append(character if plain else escaped(character, draw(st.integers(0, 5))))
        parts.append(draw(st.sampled_from(["", "", "", "\r\n", "\\\n  ", '" ', '"" '])))
    parts.append(draw(st.sampled_from(["", '"', '""'])))
    return '"""' + "".join(parts) + '"""'


LITERAL = TEXT.map(lambda t: "'" + t.replace("'", "").replace("\n", "") + "'")
MULTILINE_LITERAL = st.tuples(
    st.sampled_from(["", "\n", "\r\n"]), TEXT, st.sampled_from(["", "'", "''"])
).map(lambda t: "'''" + t[0] + t[1].replace("'''", "").replace("\n", "\r\n").rstrip("'") + t[2] + "'''")
SCALAR = st.sampled_from(
    ["1", "-3.5e-2", "true", "false", "0xff", "1_000", "inf", "1979-05-27", "1979-05-27 07:32:00", "07:32:00",
     "1979-05-27T07:32:00Z", '""', "''", '""""""']
) | basic() | multiline_basic() | LITERAL | MULTILINE_LITERAL  # fmt: skip


@st.composite
def key(draw: st.DrawFn) -> str:
    return draw(BARE | basic() | LITERAL)


@st.composite
def array(draw: st.DrawFn, inside: st.SearchStrategy[str]) -> str:
    gap = draw(GAP)
    items = draw(st.lists(inside, max_size=3))
    comma = draw(st.sampled_from(["", ","])) if items else ""
    return "[" + gap + (gap + "," + gap).join(items) + gap + comma + gap + "]"


@st.composite
def inline_table(draw: st.DrawFn, inside: st.SearchStrategy[str]) -> str:
    space = draw(SPACE)
    names = draw(st.lists(BARE, max_size=3, unique=True))
    pairs = [f"{space}{name}{space}={space}{draw(inside)}{space}" for name in names]
    return "{" + ",".join(pairs) + "}"


VALUE = st.recursive(SCALAR, lambda inside: array(inside) | inline_table(inside), max_leaves=6)


@st.composite
def document(draw: st.DrawFn) -> str:
    end = draw(st.sampled_from(["\n", "\r\n", " # note = [\n"]))
    lines = []
    for _ in range(draw(st.integers(0, 4))):
        space = draw(SPACE)
        parts = [draw(key()) for _ in range(draw(st.integers(1, 3)))]
        name = f"{space}.{space}".join(parts)
        header = draw(st.sampled_from(["", "", f"[{space}{name}{space}]", f"[[{name}]]"]))
        if header:
            lines.append(header)
        lines.extend(f"{draw(key())}{space}={space}{draw(VALUE)}" for _ in range(draw(st.integers(0, 3))))
    return end.join(lines) + draw(st.sampled_from(["", end]))


def leaves(value: Any, path: Path = ()) -> list[tuple[Path, Any]]:
    """Every path of a document with its value, tables and arrays too."""
    found = [(path, value)] if path else []
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for name, child in children:
        found += leaves(child, (*path, name))
    return found


def parsed(text: str) -> Any:
    return tomllib.loads(f"x = {text}")["x"]


def decoded(raw: str) -> str:
    """What a stretch of a string's inside stands for."""
    return parsed(f'"{raw}"') if len(raw) > 1 and raw.startswith("\\") else raw.replace("\r\n", "\n")


@settings(max_examples=400, deadline=None)
@given(document())
def test_places_agree_with_tomllib(text: str) -> None:
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    places = scan(text)
    assert places.twice == []
    for path, value in leaves(values):
        if path in places.keys and isinstance(path[-1], str):
            start, end = places.keys[path]
            assert list(tomllib.loads(f"{text[start:end]} = 0")) == [path[-1]]
        else:
            assert isinstance(path[-1], int)
        if not isinstance(value, (dict, list)):
            start, end = places.values[path]
            assert repr(parsed(text[start:end])) == repr(value)
    known = {path for path, _ in leaves(values)}
    assert set(places.keys) | set(places.values) <= known


@settings(max_examples=400, deadline=None)
@given(basic() | multiline_basic() | LITERAL | MULTILINE_LITERAL, SPACE)
def test_each_character_of_a_string_has_its_place(literal: str, space: str) -> None:
    text = f"a{space}={space}{literal}"
    value = tomllib.loads(text)["a"]
    start, end = scan(text).values[("a",)]
    parts = string_parts(text, start, end)
    assert text[start:end] == literal
    assert "".join(decoded(text[part]) for part in parts[:-1]) == value
    assert [decoded(text[part]) for part in parts] == [*value, ""]
    assert sorted(parts, key=lambda part: part.start) == parts


def test_the_value_of_a_table_is_its_header() -> None:
    text = "top = 1\n\n  [ a . 'b c' ]\nx = 1\n"
    places = scan(text)
    start, end = places.values[("a", "b c")]
    assert text[start:end] == "[ a . 'b c' ]"
    assert text[slice(*places.keys[("a", "b c")])] == "'b c'"
    assert text[slice(*places.keys[("a",)])] == "a"


def test_elements_of_arrays_of_tables_have_their_own_places() -> None:
    text = "[[t]]\nn = 1\n[[t.u]]\nm = 2\n[[t]]\nn = 3\n[[t.u]]\n[[t.u]]\nm = 4\n"
    places = scan(text)
    assert text[slice(*places.values[("t", 1, "n")])] == "3"
    assert text[slice(*places.values[("t", 1, "u", 1, "m")])] == "4"
    assert ("t", 0, "u", 1) not in places.values


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('a = "x', 4),
        ('a = """x\nb = 1\n', 4),
        ("b = 1\na = '''x\n\nc", 10),
        ("a = [1,\n2\n", 4),
        ("a = { b = 1", 4),
        ("a", 1),
        ("a : 1", 2),
        ("= 1", 0),
        ("a = ", 4),
    ],
)
def test_reading_stops_at_the_beginning_of_what_is_no_toml(text: str, where: int) -> None:
    with pytest.raises(ScanError) as error:
        scan(text)
    assert error.value.at == where
    assert scan_until_error(text)[1] == where


def test_a_second_definition_is_noted() -> None:
    text = "[a]\nb = 1\nb = 2\n[c]\n[a]\n"
    assert [(path, text[slice(*second)], second[0]) for path, _, second in scan(text).twice] == [
        (("a", "b"), "b", 10),
        (("a",), "a", 21),
    ]
