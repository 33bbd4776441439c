"""Templates of a recipe are untrusted: they reach nothing but the row, and cannot hang or fill memory."""

from __future__ import annotations

import time

import pytest

from ftc.data.rendering.conversation import Refused
from ftc.data.rendering.fields import field_of
from ftc.recipe.templates import jinja_environment, template_variables

ROW = {"x": "text", "n": 3, "items": ["a", "b"], "f": "{0.__class__}"}

REACHING = [
    "{{ x.__class__ }}",
    "{{ x.__class__.__mro__[1].__subclasses__() }}",
    "{{ x | attr('__class__') }}",
    "{{ x['__class__'] }}",
    "{{ f.format(x) }}",
    "{{ f.format_map({'0': x}) }}",
    "{{ '{0.__init__}'.format(x) }}",
    "{{ ('{a.__class__}' | string).format(a=x) }}",
    "{{ self.__init__.__globals__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ range.__init__ }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ joiner.__init__.__globals__.os }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ dict.__base__ }}",
    "{{ (dict | string).__class__ }}",
    "{{ [x] | sum(attribute='__class__') }}",
    "{% set _ = items.append('c') %}{{ items }}",
    "{{ x.encode().__reduce__() }}",
    "{{ config }}{{ request }}",
    "{{ lipsum() }}",
    "{{ strftime_now('%Y') }}",
    "{{ get_flashed_messages.__globals__ }}",
    "{{ caller.__code__ }}",
    "{% macro m() %}{% endmacro %}{{ m._func.__globals__ }}",
    "{{ loop.__init__ }}",
]

HEAVY = [
    "{% for a in range(99999) %}{% for b in range(99999) %}{{ n }}{% endfor %}{% endfor %}",
    "{{ range(10**9) | list | length }}",
    "{{ x * 10**9 }}",
    "{{ 'a' * 10**9 }}",
    "{{ 10**(10**7) }}",
    "{{ n ** (10**9) }}",
    "{{ [0] * 10**9 }}",
    "{{ 'a' | center(10**9) }}",
    "{{ x.center(10**9) }}",
    "{{ x.ljust(10**9) }}",
    "{{ '%1000000000d' | format(n) }}",
    "{{ '{:1000000000}'.format(n) }}",
    "{{ x | indent(10**9) }}",
    "{{ x | replace('', x * 9999) | replace('', x * 9999) }}",
    "{{ x.replace('', x * 9999).replace('', x * 9999) }}",
    "{% set ns = namespace(a=x) %}{% for i in range(99) %}{% set ns.a = ns.a ~ ns.a %}{% endfor %}{{ ns.a }}",
    "{% set ns = namespace(a=[x]) %}{% for i in range(99) %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}",
    "{% macro m(k) %}{{ m(k + 1) }}{{ m(k + 1) }}{% endmacro %}{{ m(0) }}",
    "{{ items | batch(10**9, x) | list }}",
    "{{ items | slice(10**9) | list }}",
    "{{ {'a': x} | tojson(10**8) }}",
    "{{ (x * 9999) | wordwrap(1, wrapstring=x * 9999) }}",
    "{{ (x * 9999).expandtabs(10**9).translate({97: x * 99999}) }}",
    "{{ x.join((x * 99999) | list) | list | map('string') | join(x * 9999) }}",
]


@pytest.mark.parametrize("source", REACHING)
def test_a_template_reaches_nothing_but_the_row(source: str) -> None:
    with pytest.raises(Refused):
        field_of("prompt", source)(ROW)


@pytest.mark.parametrize(
    "how", ["map(attribute='__class__')", "groupby('__class__') | map(attribute='grouper')"]
)
def test_attributes_by_name_are_not_there(how: str) -> None:
    assert field_of("prompt", f"{{{{ [x] | {how} | list }}}}")(ROW) == "[Undefined]"


@pytest.mark.parametrize("source", HEAVY)
def test_a_template_that_asks_for_too_much_is_refused(source: str) -> None:
    begun = time.process_time()
    with pytest.raises(Refused):
        field_of("prompt", source)(ROW)
    assert time.process_time() - begun < 8


@pytest.mark.parametrize("source", [*HEAVY, *REACHING, "{{ " + "(" * 3000 + "x" + ")" * 3000 + " }}"])
def test_looking_at_a_template_works_nothing_out(source: str) -> None:
    begun = time.process_time()
    template_variables(source)
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(
    "source",
    ["{{ x" + ".a" * 5000 + " }}", "{% if x %}" * 300 + "{% endif %}" * 300, "{{ " + "-" * 3000 + "n }}"],
)
def test_parts_in_parts_without_end_are_a_finding(source: str) -> None:
    from ftc.recipe.templates import TOO_DEEP, _parsed

    assert getattr(_parsed(source), "message", "") == TOO_DEEP


def test_loops_that_python_cannot_nest_fail_on_the_row() -> None:
    loops = "".join(f"{{% for i{n} in items %}}" for n in range(30))
    with pytest.raises(Refused):
        field_of("prompt", loops + "{{ x }}" + "{% endfor %}" * 30)(ROW)


@pytest.mark.parametrize(
    "source",
    [
        "Question: {{ x }}\nAnswer:",
        "{% for i in items %}\n  {{ i | upper }}{% if not loop.last %}, {% endif %}\n{% endfor %}\n",
        "{{ items | tojson }} {{ items | tojson(2) }} {{ {'ü': n} | tojson(indent=1) }}",
        "{{ x ~ (n + 1) }} {{ n * 2 }} {{ '%s-%d' % (x, n) }} {{ x.title() | default('') }}",
        "{% set ns = namespace(k=0) %}{% for i in items %}{% set ns.k = ns.k + 1 %}{% endfor %}{{ ns.k }}",
        "{{ missing | default('none') }} {{ x if n > 2 else '' }} {{ x[1:3] }} {{ items | join('; ') }}",
        "{%- macro m(a) -%}<{{ a }}>{%- endmacro -%}{{ m(x) }}{{ m(n) }}",
        "{{ 7 / 2 }} {{ 7 // 2 }} {{ 2 ** 8 }} {{ n is odd }} {{ dict(a=x).a }} {{ range(3) | list }}",
    ],
)
def test_limits_change_no_text(source: str) -> None:
    assert field_of("prompt", source)(ROW) == jinja_environment().from_string(source).render(ROW)
