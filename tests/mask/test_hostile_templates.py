"""Templates from outside: what tries to get out, to hang or to fill the memory ends soon, with a reason."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from mask_cases import assistant, user

from ftc.data.template.chat_template import LARGEST_SOURCE, ChatTemplate, TemplateProblem
from ftc.data.template.limits import Limits
from ftc.plan.passes import objective, render
from ftc.plan.steps import Plan
from plan.plan_facts import context_of

TALK = [user("x"), assistant("y")]
SECONDS = 4
"""Of processor time, on a slow machine with other work: ten times what they take otherwise."""


def growing(start: str, operation: str) -> str:
    """A template that applies an operation to its own result, 99 times."""
    turn = f"{{% set n.x = {operation} %}}"
    return f"{{% set n = namespace(x={start}) %}}{{% for a in range(99) %}}{turn}{{% endfor %}}{{{{ n.x }}}}"


HANGING = {
    "range": "{% for i in range(10**9) %}{% endfor %}",
    "nested loops": "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
    "silent loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "recursion": "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "branching": "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "recursive loop": "{% for m in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
    "cycler": (
        "{% set c = cycler('a','b') %}{% for i in range(99999) %}{% for j in range(999) %}{{ c.next() }}"
        "{% endfor %}{% endfor %}"
    ),
    "sorting": "{% for i in range(99999) %}{% set x = range(99999) | sort %}{% endfor %}",
    "mapping": "{% for i in range(99999) %}{% set x = range(99999) | map('int') | list %}{% endfor %}",
    "searching": "{% for i in range(99999) %}{{ 'b' in 'a' * 999999 }}{% endfor %}",
    "grouping": "{% for i in range(999) %}{% set x = range(99999) | groupby('real') %}{% endfor %}",
    "comparing": growing("[1]", "[n.x, n.x]").replace("{{ n.x }}", "{{ n.x == n.x | list }}"),
    "power": "{{ 10 ** (10 ** 10) }}",
    "powers": growing("10", "n.x ** 9999"),
    "squares": growing("10", "n.x * n.x"),
    "calls": "{% macro d() %}{{ caller() }}{{ caller() }}{% endmacro %}"
    + "{% call d() %}" * 18
    + "x"
    + "{% endcall %}" * 18,
}
FILLING = {
    "repetition": "{{ 'a' * 10**9 }}",
    "repeated list": "{{ [1] * 10**9 }}",
    "repeated bytes": "{{ 'a'.encode() * 10**9 }}",
    "output": "{% for a in range(99999) %}{{ 'x' * 9999 }}{% endfor %}",
    "width": "{{ '%0999999999d' % 1 }}",
    "many widths": "{{ ('%99999d' * 999) % ((1,) * 999) }}",
    "computed width": "{{ '%*d' % (999999999, 1) }}",
    "format": "{{ '{:>999999999}'.format(1) }}",
    "format of a computed width": "{{ '{:>{w}}'.format(1, w=999999999) }}",
    "format_map": "{{ '{a:>999999999}'.format_map({'a': 1}) }}",
    "format filter": "{{ '%999999999d' | format(1) }}",
    "center": "{{ 'x' | center(10**9) }}",
    "ljust": "{{ 'a'.ljust(10**9) }}",
    "zfill": "{{ 'a'.zfill(10**9) }}",
    "expandtabs": "{{ ('\t' * 1000).expandtabs(10**7) }}",
    "tojson": "{{ [1, [2, [3]]] | tojson(indent=10**6) }}",
    "tojson with a text": "{{ range(9999) | list | tojson(indent='x' * 99999) }}",
    "tojson with separators": "{{ range(9999) | list | tojson(separators=('x' * 99999, ':')) }}",
    "tojson of lists in lists": growing("[1]", "[n.x, n.x]").replace("{{ n.x }}", "{{ n.x | tojson }}"),
    "lists in lists": growing("[1]", "[n.x, n.x]"),
    "tables in tables": growing("{'a': 1}", "{'a': n.x, 'b': n.x}"),
    "tables in tables by name": growing("{'a': 1}", "dict(a=n.x, b=n.x)"),
    "indent": "{{ ('a\n' * 9999) | indent(9999999) }}",
    "indent with a text": "{{ ('a\n' * 9999) | indent('x' * 99999) }}",
    "wordwrap": "{{ ('a' * 99999) | wordwrap(1, wrapstring='x' * 99999) }}",
    "batch": "{{ range(10) | batch(10**9, 'x') | list }}",
    "slice": "{{ range(10) | slice(10**9) | list }}",
    "doubling": growing("'a'", "n.x + n.x"),
    "doubling by ~": growing("'a'", "n.x ~ n.x"),
    "doubling a list": growing("[1]", "n.x + n.x"),
    "doubling by replace": growing("'ab'", "n.x.replace('a', n.x)"),
    "doubling by the filter replace": growing("'ab'", "n.x | replace('a', n.x)"),
    "doubling by join": growing("'ab'", "n.x.join([n.x, n.x])"),
    "doubling by the filter join": growing("'ab'", "[n.x, n.x] | join(n.x)"),
    "doubling by %": growing("'ab'", "'%s%s' % (n.x, n.x)"),
    "doubling by format": growing("'ab'", "'{}{}'.format(n.x, n.x)"),
    "doubling by a block": growing("'a'", "n.x").replace(
        "{% set n.x = n.x %}", "{% set b %}{{ n.x }}{{ n.x }}{% endset %}{% set n.x = b %}"
    ),
    "doubling by a macro": "{% macro f(x) %}{{ x }}{{ x }}{% endmacro %}" + growing("'a'", "f(n.x)"),
    "words": "{{ ('a ' * 9999999).split() }}",
    "letters": "{{ ('a' * 999999) | list }}",
    "translation": "{{ ('x' * 999999).translate({120: 'y' * 99999}) }}",
    "random text": "{{ lipsum(n=10**6) }}",
    "the time": "{{ strftime_now('%999999999d') }}",
    "a long form of the time": "{{ strftime_now('%c' * 99999) }}",
}
GETTING_OUT = {
    "class": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "append": "{{ messages.append(1) }}",
    "update": "{{ messages[0].update(role='x') }}",
    "pop": "{{ messages[0].pop('content') }}",
    "setitem": "{% set _ = messages[0].__setitem__('role', 'x') %}",
    "globals": "{{ raise_exception.__globals__.x }}",
    "namespace": "{{ namespace(_x=1) }}",
    "namespace by name": "{% set n = namespace() %}{% set n.__class__ = 1 %}",
    "include": "{% include '/etc/passwd' %}",
    "import": "{% import 'os' as os %}",
    "from": "{% from 'os' import path %}",
    "extends": "{% extends 'x' %}",
    "format": "{{ '{0.__class__.__init__.__globals__}'.format(messages) }}",
    "self": "{{ self.__init__.__globals__.x }}",
}
DEEP = {
    "blocks": "{% if 1 %}" * 300 + "{% endif %}" * 300,
    "loops": "{% for a in [1] %}" * 60 + "{% endfor %}" * 60,
    "brackets": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "lists": "{{ " + "[" * 5000 + "]" * 5000 + " }}",
    "length": "{{ 1 }}" * LARGEST_SOURCE,
}
KINDS = {"hanging": HANGING, "filling": FILLING, "getting out": GETTING_OUT, "deep": DEEP}
ALL = {f"{kind}: {name}": source for kind, table in KINDS.items() for name, source in table.items()}
REFUSED_BY_JINJA = ("Range too big", "undefined", "Exceeds the limit")


def run(source: str, *, traced: bool) -> None:
    template = ChatTemplate(source, special_tokens={})
    if traced:
        template.trace(template.prepared(TALK), None)
    else:
        template.render(TALK)


def stopped(source: str, *, traced: bool) -> TemplateProblem:
    started = time.process_time()
    with pytest.raises(TemplateProblem) as caught:
        run(source, traced=traced)
    assert time.process_time() - started < SECONDS
    return caught.value


@pytest.mark.parametrize("traced", [False, True], ids=["plain", "traced"])
@pytest.mark.parametrize("name", ALL)
def test_an_attempt_ends_soon_and_with_a_reason(name: str, traced: bool) -> None:
    problem = stopped(ALL[name], traced=traced)
    assert problem.message
    if name.startswith(("hanging", "filling")):
        known = problem.hostile or any(part in problem.message for part in REFUSED_BY_JINJA)
        assert known, problem.message


def test_all_of_them_need_little_memory() -> None:
    """In one process, one after the other: 512 MiB over what the program itself takes."""
    code = (
        "import resource, sys\n"
        f"sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1])]!r}\n"
        "import test_hostile_templates as hostile\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "for source in hostile.FILLING.values():\n"
        "    for traced in (False, True):\n"
        "        hostile.stopped(source, traced=traced)\n"
        "print((peak() - before) // 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 512


def test_a_conversation_is_as_it_was_after_an_attempt_to_change_it() -> None:
    talk = [user("x"), assistant("y")]
    template = ChatTemplate("{% set _ = messages[0].update({'role': 'z'}) %}", special_tokens={})
    with pytest.raises(TemplateProblem):
        template.render(talk)
    assert talk == [user("x"), assistant("y")]
    quiet = ChatTemplate("{% set messages = messages[1:] %}{{ messages | length }}", special_tokens={})
    assert quiet.render(talk) == "1"
    assert len(talk) == 2


def test_limits_grow_with_the_conversation() -> None:
    template = ChatTemplate("{% for m in messages %}{{ m.content }}{% endfor %}", special_tokens={})
    long = [user("word " * 600_000)]
    assert len(template.render(long)) == 3_000_000
    many = [user("a"), assistant("b")] * 3000
    squared = "{% for m in messages %}{% for o in messages %}{% endfor %}{{ m.content }}{% endfor %}"
    assert Limits().given(6000, 600).turns > 600 * 600
    assert ChatTemplate(squared, special_tokens={}).render(many[:600]) == "ab" * 300


@pytest.mark.parametrize("name", ["hanging: nested loops", "filling: repetition", "getting out: class"])
def test_the_plan_refuses_such_a_template(name: str, tmp_path: Path) -> None:
    context = context_of(tmp_path, {"messages": "JSON"})
    context = replace(context, facts=replace(context.facts, chat_template=ALL[name]))
    found = render.run(objective.run(Plan(name="x", seed=0), context).plan, context)
    (finding,) = found.findings
    assert finding.code == "FTC307"
    assert "had to be stopped" in finding.message
    assert finding.help[0] == "do not use it: it does what no chat template needs"
