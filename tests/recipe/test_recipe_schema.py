"""The JSON Schema of the language, judged by another validator; the canonical TOML text."""

from __future__ import annotations

import tomllib
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ftc.recipe.language import tables
from ftc.recipe.schema import recipe_schema, schema_directive
from ftc.recipe.toml_text import to_toml

FOLDER = Path(__file__).parent.parent / "bad_recipes"
STATIC = ("key_", "type_", "range_", "word_", "missing_", "both_")
BEYOND = {
    "missing_query": "depends on the number of sources",
    "range_eval_rows": "draft 7 cannot say: whole if at least 1",
    "range_eval_one": "draft 7 takes 1.0 for 1",
    "range_empty_label": "labels may be any text",
    "type_date": "variables may be any value",
}


@pytest.fixture(scope="module")
def validator() -> Any:
    jsonschema = pytest.importorskip("jsonschema")
    schema = recipe_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


@pytest.mark.parametrize(
    "text",
    [
        '[model]\nbase = "x"\n[data]\nsources.rows = "a.csv"\n',
        'extends = "base.toml"\n[train]\nepochs = 0.5\n',
        '[model]\nbase = "x"\n[data]\nsources.rows = { path = "a" }\nquery = { file = "q.sql" }\n',
        'extends = "x"\n[tune]\nrank = 4\ntargets = ["q_proj"]\n[eval]\nmetrics = ["loss"]\n',
        '[model]\nbase = "x"\n[data]\nsources.rows = "a.csv"\nquery = "select 1"\n[tune]\nmethod = "full"\n',
    ],
)
def test_good_recipes_fit_the_schema(text: str, validator: Any) -> None:
    assert [error.message for error in validator.iter_errors(tomllib.loads(text))] == []


@pytest.mark.parametrize(
    "name", [path.stem for path in sorted(FOLDER.glob("*.toml")) if path.stem.startswith(STATIC)]
)
def test_bad_recipes_do_not_fit_the_schema(name: str, validator: Any) -> None:
    values = tomllib.loads((FOLDER / f"{name}.toml").read_text("utf-8"))
    valid = validator.is_valid(values)
    assert valid == (name in BEYOND), BEYOND.get(name)


def test_every_key_of_the_language_is_in_the_schema_with_its_description() -> None:
    schema = recipe_schema()
    bodies = [schema, *schema["definitions"].values()]
    for table in tables():
        alike = [body for body in bodies if tuple(body.get("properties", ())) == table.keys]
        assert alike, table.title
        for body in alike:
            assert body["additionalProperties"] is False
            assert all({"description", "$ref", "oneOf"} & set(field) for field in body["properties"].values())


def test_the_directive_is_one_that_taplo_reads() -> None:
    assert schema_directive(Path("recipe.schema.json")) == "#:schema ./recipe.schema.json"


LEAF = (
    st.text(max_size=20)
    | st.text('"\n\\\t\r\x00', max_size=8)
    | st.integers()
    | st.booleans()
    | st.floats(allow_nan=False)
    | st.dates()
    | st.times()
    | st.datetimes()
)
VALUES = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=4))
@example({"query": '\n"""'})
def test_canonical_text_reads_back_as_the_same_values(values: dict[str, Any]) -> None:
    text = to_toml(values)
    assert tomllib.loads(text) == values
    assert to_toml(dict(reversed(values.items()))) == text


def test_canonical_text_is_readable() -> None:
    values = {
        "train": {"epochs": 3, "trl": {"optim": "adamw"}},
        "name": "demo",
        "data": {"query": 'select "a"\nfrom b', "sources": {"b": "b.csv"}},
        "x": [date(2025, 1, 2), datetime(2025, 1, 2, 3), time(4)],
    }
    assert to_toml(values) == (
        'name = "demo"\nx = [2025-01-02, 2025-01-02T03:00:00, 04:00:00]\n\n'
        '[data]\nquery = """\nselect "a"\nfrom b"""\n\n[data.sources]\nb = "b.csv"\n\n'
        '[train]\nepochs = 3\n\n[train.trl]\noptim = "adamw"\n'
    )
