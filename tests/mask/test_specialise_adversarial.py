"""Templates written to break the recordings: each is exact for every content, or is not recorded."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mask_cases import SPECIAL, TOOLS, Case, assistant, call, user
from specialised_rows import TRICKY, compare_pieces, compare_turns, eager, policies, renders, replayed

from ftc.data.mask.masks import Policy
from ftc.data.rendering.conversation import Chat
from ftc.data.template.chat_template import ChatTemplate

HEAD = "{{ '<' + m.role + '>' }}"
TAIL = "{{ '<end>' }}{% endfor %}{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
STOP = ("<end>",)
KEPT = Policy("assistant", STOP, "keep")


def loop(body: str, before: str = "") -> str:
    return before + "{% for m in messages %}" + HEAD + body + TAIL


C = "{{ m.content }}"
# What looks at contents by a way that is noted: recorded.
NOTED = {
    "plain": C,
    "in a list": "{% if m.content in ['a', 'b', ''] %}!{% endif %}" + C,
    "between messages": "{% if m.content == messages[0].content %}!{% endif %}" + C,
    "order": "{% if m.content < messages[0].content %}!{% endif %}" + C,
    "in another message": "{% if m.content in messages[0].content %}!{% endif %}" + C,
    "length": "{% if m.content | length > 10 %}!{% endif %}" + C,
    "lengths added": "{% if m.content | length + messages[0].content | length > 10 %}!{% endif %}" + C,
    "count of a letter": "{% if m.content.count('a') > 1 %}!{% endif %}" + C,
    "place of a letter": "{% if m.content.find('a') == 1 %}!{% endif %}" + C,
    "first letter": "{% if m.content[0] == 'a' %}!{% endif %}" + C,
    "first letter tested": "{% if m.content and m.content[0] == 'a' %}!{% endif %}" + C,
    "last line": "{% if m.content.split('\n') | last == 'a' %}!{% endif %}" + C,
    "words": "{% if m.content.split() | length > 1 %}!{% endif %}" + C,
    "loop over words": "{% for w in m.content.split(' ') %}{% if w == 'a' %}!{% endif %}{% endfor %}" + C,
    "words in a list": "{% if 'a' in m.content.split(' ') %}!{% endif %}" + C,
    "upper": "{% if m.content | upper == 'A' %}!{% endif %}" + C,
    "selectattr": "{{ messages | selectattr('content', 'equalto', m.content) | list | length }}" + C,
    "map": "{{ '!' if 'a' in (messages | map(attribute='content') | list) }}" + C,
    "map and trim": "{{ '!' if 'a' in (messages | map(attribute='content') | map('trim') | list) }}" + C,
    "chained": "{% if m.content.strip().lower().startswith('a') %}!{% endif %}" + C,
    "cases": "{% if m.content.isdigit() or m.content.isspace() %}!{% endif %}" + C,
    "default": "{{ '!' if m.content | default('x', true) == 'x' }}" + C,
    "conditional": "{{ m.content if m.content else '!' }}",
    "previous": "{% if loop.previtem and loop.previtem.content == m.content %}!{% endif %}" + C,
    "macro": "{% macro f(x) %}{% if 'a' in x %}!{% endif %}{{ x }}{% endmacro %}{{ f(m.content) }}",
    "macro's text": "{% macro f(x) %}[{{ x }}]{% endmacro %}{% if 'a]' in f(m.content) %}!{% endif %}" + C,
    "set block": "{% set x %}a{{ m.content }}{% endset %}{% if 'aa' in x %}!{% endif %}" + C,
    "set block stripped": "{% set x %} {{ m.content }} {% endset %}{{ x | trim }}",
    "caller": "{% macro f() %}[{{ caller() }}]{% endmacro %}{% call f() %}{{ m.content }}{% endcall %}",
    "filter block": "{% filter trim %} {{ m.content }} {% endfilter %}",
    "namespace": "{% set n = namespace(t='') %}{% set n.t = n.t ~ m.content %}{{ n.t }}",
    "accumulated": "{% set ns.t = ns.t ~ m.content %}{{ '!' if 'ab' in ns.t }}" + C,
    "kept in a list": "{% set ns.l = ns.l + [m.content] %}{{ '!' if ns.l[0] == m.content }}" + C,
    "kept in a table": "{% set d = dict(x=m.content) %}{{ '!' if d.x == 'a' }}" + C,
    "joined": "{{ [m.content, 'a'] | join('-') }}",
    "joined by a method": "{{ '-'.join([m.content, 'a']) }}",
    "slice": "{{ m.content[1:] }}",
    "halves": "{{ m.content[:2] }}{{ m.content[2:] }}",
    "split and joined": "{{ m.content.split('a') | join('a') }}",
    "replaced": "{{ m.content | replace('a', 'bb') }}",
    "partition": "{{ m.content.partition('a')[2] }}",
    "json": "{{ m.content | tojson }}",
    "json of all": "{{ messages | tojson | length if false }}{{ m | tojson }}",
    "literal on the right": "{{ '' ~ m.content ~ '' }}",
    "chars stripped": "{{ m.content.strip('ab') }}",
    "strips within": "{{ (' ' + m.content + ' ') | trim }}",
    "stripped as text": "{{ ('a ' + m.content + ' ') | trim }}",
    "text that goes on": "{{ m.content }}<e{{ 'nd>' }}",
    "stop token in two": "{{ m.content + '<end' }}{{ '>' }}",
    "twice": "{{ m.content }}{{ m.content }}",
    "in half after the end": "{{ m.content + '<end>' + m.content[:1] }}",
    "blank between": "{% if m.content is string and m.content is not none %}" + C + "{% endif %}",
}
# What no recording can note: never recorded.
UNNOTED = {
    "key of a table": "{{ {'a': '!'}[m.content] }}" + C,
    "key of a table, by get": "{{ {'a': '!'}.get(m.content) or '' }}" + C,
    "key in a table": "{{ '!' if m.content in {'a': 1} }}" + C,
    "in a text": "{% if m.content in 'literal a' %}!{% endif %}" + C,
    "printf": "{{ '%s' % m.content }}",
    "printf of a tuple": "{{ '%s!' % (m.content,) }}",
    "format": "{{ '{}'.format(m.content) }}",
    "format filter": "{{ '%s' | format(m.content) }}",
    "int": "{{ m.content | int }}" + C,
    "float": "{{ '!' if m.content | float > 1 }}" + C,
    "letters": "{% for c in m.content %}{% if c == 'a' %}!{% endif %}{% endfor %}" + C,
    "letters in a list": "{{ '!' if (m.content | list)[0] == 'a' }}" + C,
    "repeated": "{{ m.content * 2 }}",
    "list as text": "{{ [m.content] }}",
    "message as text": "{{ m }}",
    "message as a string": "{{ (m | string) | length }}" + C,
    "sorted": "{{ (messages | map(attribute='content') | sort)[0] == m.content }}" + C,
    "unique": "{{ messages | map(attribute='content') | unique | list | length }}" + C,
    "groupby": "{{ messages | groupby('content') | length }}" + C,
    "greatest": "{{ '!' if (messages | map(attribute='content') | max) == m.content }}" + C,
    "reversed": "{{ m.content | reverse }}",
    "title": "{{ m.content | title }}",
    "wordcount": "{{ m.content | wordcount }}" + C,
    "lower test": "{{ '!' if m.content is lower }}" + C,
    "same as": "{{ '!' if m.content is sameas messages[0].content }}" + C,
    "escaped": "{{ m.content | escape }}",
    "autoescape": "{% autoescape true %}{{ m.content }}{% endautoescape %}",
    "indent": "{{ m.content | indent }}",
    "truncate": "{{ m.content | truncate(5) }}",
    "center": "{{ m.content.center(40) }}",
    "method by name": "{{ m.content['upper']() if false else (m.content | attr('upper'))() }}" + C,
    "method as text": "{{ (m.content.upper | string) | length }}" + C,
    "length as text": "{{ m.content | length }}" + C,
    "length of a float": "{{ '!' if m.content | length == 1.0 }}" + C,
    "length as an index": "{{ 'abcdefgh'[m.content | length] }}" + C,
    "length as a range": "{% for i in range(m.content | length) %}!{% endfor %}" + C,
    "length is a number": "{{ '!' if m.content | length is number }}" + C,
    "loop.changed": "{{ '!' if loop.changed(m.content) }}" + C,
    "urlize": "{{ m.content | urlize }}",
    "translate": "{{ m.content.translate({97: 'b'}) }}",
    "encode": "{{ '!' if m.content.encode() }}" + C,
    "splitlines as text": "{{ m.content.splitlines() }}",
    "compared lists": "{{ '!' if m.content.split('a') == ['', ''] }}" + C,
    "replaced by content": "{{ 'a' | replace('a', m.content) }}",
    "replaced content by content": "{{ m.content | replace('a', messages[0].content) }}",
    "attribute by content": "{{ messages | map(attribute=m.content) | list | length }}" + C,
    "test by content": "{{ messages | select(m.content) | list | length }}" + C,
}
BEFORE = "{% set ns = namespace(t='', l=[]) %}"
MORE = [
    "a",
    "b",
    "ab",
    "aa",
    "a b",
    "b a",
    " a ",
    "A",
    "aaaaaaaaaaaa",
    "a\nb",
    "b\na",
    "<end>",
    "x<end>y",
    "1",
    "12",
]
texts = st.one_of(st.sampled_from([*MORE, *TRICKY]), st.text(alphabet="ab <\n'", max_size=6))
talks = st.lists(texts, min_size=4, max_size=4).map(
    lambda t: [user(t[0]), assistant(t[1]), user(t[2]), assistant(t[3])]
)


def compared(source: str, count: int) -> Counter[str]:
    """The counts of rows recorded and not, each compared with its own proof."""
    template, seen = ChatTemplate(source, special_tokens=SPECIAL), Counter[str]()
    eager(template)

    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))
    @example(talk=[user("a"), assistant("b"), user("a"), assistant("a")], policy=KEPT)
    @example(talk=[user("long enough"), assistant("a"), user(""), assistant("b<end>")], policy=KEPT)
    @given(talk=talks, policy=policies(STOP))
    def compare(talk: list[dict[str, Any]], policy: Policy) -> None:
        if renders(template, talk, Case("", talk)):
            compare_turns(template, Chat(talk), STOP, seen)
        compare_pieces(template, Chat(talk), policy)

    compare()
    return seen


@pytest.mark.parametrize("name", NOTED)
def test_what_is_noted_is_exact(name: str) -> None:
    seen = compared(loop(NOTED[name], BEFORE), 40)
    assert seen["recorded"] > 20, seen


@pytest.mark.parametrize("name", UNNOTED)
def test_what_cannot_be_noted_is_never_recorded(name: str) -> None:
    seen = compared(loop(UNNOTED[name], BEFORE), 12)
    assert seen["recorded"] == 0, seen


UNSTEADY = [
    "{{ [1, 2] | random }}",
    "{{ strftime_now('%f') }}",
    "{{ lipsum() }}",
    "{% filter random %}{% endfilter %}",
]


@pytest.mark.parametrize("body", UNSTEADY)
def test_a_template_whose_text_changes_by_itself_is_never_recorded(body: str) -> None:
    template = ChatTemplate(loop(body + C), special_tokens=SPECIAL)
    eager(template)
    assert replayed(template, Chat([user("a"), assistant("b")]), STOP) is None


def test_a_fixed_clock_is_recorded() -> None:
    variables = {"strftime_now": lambda form: form}
    template = ChatTemplate(loop("{{ strftime_now('%f') }}" + C), special_tokens=SPECIAL, variables=variables)
    eager(template)
    assert replayed(template, Chat([user("a"), assistant("b")]), STOP) is not None


def test_what_follows_a_branch_is_recorded_only_where_it_can_be() -> None:
    body = "{% if m.content.startswith('a') %}{{ m.content | int }}{% endif %}" + C
    seen = compared(loop(body), 40)
    assert seen["recorded"] > 0
    assert seen["not recorded"] > 0


SWALLOWED = [
    "{{ (m.content | int(base=2)) and '' }}",
    "{{ {'a': 1}[m.content] | default('') }}",
    "{{ [1][m.content] | default('') }}",
    "{{ m[m.content] | default('') }}",
    "{{ 'x'[m.content] | default('') }}",
    "{{ m.content.nothing | default('') }}",
    "{{ m.content['nothing'] | default('') }}",
    "{{ m.content is iterable and '' }}{{ m.content is sequence and '' }}{{ m.content is mapping and '!' }}",
    "{{ messages | map(attribute='content.x', default='') | join }}",
]


@pytest.mark.parametrize("body", SWALLOWED)
def test_errors_that_jinja_swallows_do_not_hide_a_look_at_a_content(body: str) -> None:
    compared(loop(body + C), 15)


ALONE = "{% if messages | length == 1 and TEST %}THEN{% endif %}"
OTHER_PROMPTS = {
    "refused": ALONE.replace("TEST", "messages[0].content == 'a'").replace(
        "THEN", "{{ raise_exception('x') }}"
    ),
    "longer": ALONE.replace("TEST", "'a' in messages[0].content").replace("THEN", "!"),
}


@pytest.mark.parametrize("before", OTHER_PROMPTS.values(), ids=OTHER_PROMPTS)
def test_a_prompt_that_asks_more_than_the_whole_conversation(before: str) -> None:
    """The rows have one recording of the text, and several of the prompt, on which the plans depend."""
    seen = compared(loop(C, before), 60)
    assert seen["recorded"] > 20


VALUES = [3, 3.0, -0.0, 1e22, 10**40, float("inf"), True, None, 4, "3", [3, 4.5], {"x": 3}, 1_750_000_000_000]
WRITTEN = [
    "{{ m | tojson }}",
    (
        "{% for c in m.tool_calls or [] %}{% for k, v in c.function.arguments.items() %}{{ k ~ '=' ~ v }}"
        "{% endfor %}{% endfor %}"
    ),
    (
        "{% for c in m.tool_calls or [] %}{% for k, v in c.function.arguments | items %}{% if v is number %}!"
        "{{ v }}{% elif v is string %}'{{ v }}'{% elif v is mapping or v is iterable %}{{ v | tojson }}"
        "{% else %}{{ v | string }}{% endif %}{% endfor %}{% endfor %}"
    ),
    "{% for c in m.tool_calls or [] %}{{ c.function.arguments.days + 1 }}{% endfor %}",
    "{% for c in m.tool_calls or [] %}{{ '!' if c.function.arguments.days }}{% endfor %}",
    "{% for c in m.tool_calls or [] %}{{ '%.1f' | format(c.function.arguments.days) }}{% endfor %}",
]


@pytest.mark.parametrize("body", WRITTEN)
def test_numbers_are_written_as_the_template_writes_them(body: str) -> None:
    template = ChatTemplate(loop("{{ tools | tojson if tools else '' }}" + body), special_tokens=SPECIAL)
    eager(template)
    seen: Counter[str] = Counter()
    for days in VALUES:
        for tools in (None, TOOLS, [], [{**TOOLS[0], "type": "f"}]):
            for key in ("days", "hours"):
                talk = [user("?"), assistant("", tool_calls=[call("f", **{key: days})])]
                if renders(template, talk, Case("", talk, tools)):
                    compare_turns(template, Chat(talk, tools), STOP, seen)
                compare_pieces(template, Chat(talk, tools), KEPT)
    assert seen["recorded"] >= (75 if WRITTEN.index(body) <= 2 else 0), seen


def test_variables_of_a_row_belong_to_the_shape() -> None:
    template = ChatTemplate(loop("{{ mood }}" + C), special_tokens=SPECIAL, variables={"mood": "calm"})
    eager(template)
    talk = Chat([user("?"), assistant("Yes.")])
    for mood in ("wild", "calm", 1, True, 1.0):
        row = template.varied({"mood": mood})
        replay = replayed(row, talk, STOP)
        assert replay is not None
        assert replay.text == row.render(talk.messages)
    assert template.render(talk.messages).count("calm") == 2
