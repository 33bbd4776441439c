"""The templates of [render]: what can be said of them without a row."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import TemplateSyntaxError, meta, nodes
from jinja2.exceptions import SecurityError, UndefinedError

from ftc.recipe.load import load_recipe
from ftc.recipe.templates import jinja_environment, template_variables, undefined_variables


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ a }}\n{{ b.c }} {{ a }}", (("a", 1), ("b", 2))),
        ("{% for x in rows %}{{ x }}{{ y }}{% endfor %}", (("rows", 1), ("y", 1))),
        ("{% set z = 1 %}{{ z }}{{ range(3) }}{{ loop }}", (("loop", 1),)),
        ("{% if a is defined %}{{ a }}{% endif %}{{ b | default('') }}", ()),
        ("text alone", ()),
        ("{{ broken", ()),
        ("{%- raw %}{{ a }}{% endraw %}\n\n  {{- b -}}\n", (("b", 3),)),
        ("{# {{ a }} #}{{ 'a' ~ b }}", (("b", 1),)),
        ("{{ f(a) }}", (("a", 1),)),
    ],
)
def test_variables_are_those_that_must_come_from_the_row(
    source: str, expected: tuple[tuple[str, int], ...]
) -> None:
    assert template_variables(source) == expected


TAGS = ["{% if c %}", "{% endif %}", "{% for d in e %}", "{% endfor %}", "{%- set h = 1 -%}"]
TEXTS = [
    "{{ a }}",
    "{{- b | upper -}}",
    "{{ 'x\ny' ~ g }}",
    "{% raw %}{{ i }}{% endraw %}",
    "{# f #}",
    "\n",
    "  ",
    "é😀 {",
]
PARTS = st.sampled_from(TAGS + TEXTS)


@settings(max_examples=300, deadline=None)
@given(st.lists(PARTS, max_size=8).map("".join))
def test_variables_agree_with_jinja(source: str) -> None:
    environment = jinja_environment()
    try:
        tree = environment.parse(source)
        read = {node.name for node in tree.find_all(nodes.Name) if node.ctx == "load"}
        expected = meta.find_undeclared_variables(tree) & read
    except TemplateSyntaxError:
        expected = set()
    found = template_variables(source)
    assert {name for name, _ in found} == expected
    lines = source.split("\n")
    assert all(name in lines[line - 1] for name, line in found)


def test_the_environment_is_strict_sandboxed_and_repeatable() -> None:
    environment = jinja_environment()
    with pytest.raises(UndefinedError):
        environment.from_string("{{ a }}").render()
    with pytest.raises(SecurityError):
        environment.from_string("{{ a.__class__.__mro__ }}").render(a="")
    assert "random" not in environment.filters
    assert "lipsum" not in environment.globals
    assert environment.from_string("{{ a | tojson }}").render(a={"é": "<b>"}) == '{"é": "<b>"}'
    assert environment.from_string("{% if true %}\nx\n{% endif %}\n").render() == "x\n"


def test_a_variable_that_is_no_column_is_found_in_the_toml_text(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(
        '[model]\nbase = "x/y"\n[data]\nsources.rows = "a.csv"\n[render]\n'
        'prompt = """\nTitle:\\t{{ title }}\n  {{ questoin }}"""\ncompletion = "{{ answer }}"\n'
    )
    loaded = load_recipe(path)
    assert loaded.recipe is not None
    (finding,) = undefined_variables(loaded.recipe, loaded.origins, ("title", "question", "answer"))
    assert (finding.code, finding.help) == ("FTC302", ("did you mean `question`?",))
    assert finding.span is not None
    assert finding.span.place.endswith("recipe.toml:8:6")
    assert finding.span.end - finding.span.start == len("questoin")
    assert undefined_variables(loaded.recipe, loaded.origins, ("title", "questoin", "answer")) == ()
