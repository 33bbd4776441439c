"""Templates that cannot be proved, that lie, or that would never end: each is refused, with its reason."""

from __future__ import annotations

from typing import Any

import pytest
from mask_cases import CHATML_WITH_DEFAULT_SYSTEM, SPECIAL, TOOLS, assistant, audit_of, call, mask_of, user

from ftc.data.rendering.example import Refusal, Rendered
from ftc.data.template.chat_template import ChatTemplate, TemplateProblem

TALK = [user("Question?"), assistant("Answer."), user("More?"), assistant("Again.")]
HEAD = "{{ '<' + m.role + '>' }}"
TAIL = "{{ '<end>' }}{% endfor %}{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"


def loop(body: str, over: str = "messages") -> str:
    return "{% for m in " + over + " %}" + HEAD + body + TAIL


def refusal(source: str, messages: list[dict[str, Any]] = TALK, **options: Any) -> Refusal:
    template = ChatTemplate(source, special_tokens=SPECIAL)
    result = mask_of(template, messages, train_on="assistant", **({"stop_tokens": ("<end>",)} | options))
    assert isinstance(result, Refusal), result
    return result


def proved(source: str, messages: list[dict[str, Any]] = TALK, **options: Any) -> Rendered:
    template = ChatTemplate(source, special_tokens=SPECIAL)
    result = mask_of(template, messages, train_on="assistant", **({"stop_tokens": ("<end>",)} | options))
    assert isinstance(result, Rendered), result
    assert audit_of(template, messages, result) is None
    return result


def test_the_plain_loop_is_proved() -> None:
    rendered = proved(loop("{{ m.content }}"))
    assert [p.text for p in rendered.pieces if p.trained] == ["Answer.<end>", "Again.<end>"]


UNTRACED = [
    "{{ m.content | title }}",
    "{{ m.content | wordwrap }}",
    "{{ m.content | center(40) }}",
    "{{ '%s!' % (m.content,) }}",
    "{{ '{}!'.format(m.content) }}",
    "{{ [m.content] }}",
    "{{ m.content.translate({46: 'x'}) }}",
    "{% filter indent %}{{ m.content | escape }}{% endfilter %}",
    "{{ m.content | list | string }}",
]


@pytest.mark.parametrize("body", UNTRACED)
def test_what_cannot_be_traced_is_refused(body: str) -> None:
    found = refusal(loop(body))
    assert found.code == "FTC305"
    assert found.fate == "unproved"
    assert "message 2" in found.reason


FOREIGN = {
    "another message": "{{ m.content + messages[0].content }}",
    "another message, quoted": "{{ m.content ~ messages[0].content | tojson }}",
    "another message's letters": "{{ m.content }}{% for c in messages[0].content %}{{ c }}{% endfor %}",
    "in a list": "{{ m.content }}{{ messages[:1] | map(attribute='content') | join }}",
    "by a macro": "{% macro f(x) %}{{ x }}{% endmacro %}{{ m.content+f(messages[0].content) }}",
    "captured": "{% set x %}{{ messages[0].content }}{% endset %}{{ m.content ~ x }}",
}


@pytest.mark.parametrize("body", FOREIGN.values(), ids=FOREIGN)
def test_text_of_another_message_inside_a_turn_is_refused(body: str) -> None:
    found = refusal(loop(body), [{"role": "system", "content": "secret"}, user("?"), assistant("Yes.")])
    assert found.code == "FTC305"
    assert "message 1 stands inside the turn of message 3" in found.reason


def test_a_number_made_of_another_message_is_of_unknown_origin() -> None:
    found = refusal(loop("{{ m.content }}{{ messages[0].content | int }}"), [user("42"), assistant("Yes.")])
    assert "origin is lost" in found.reason


def test_a_tools_description_inside_a_turn_is_refused() -> None:
    found = refusal(loop("{{ m.content }}{{ tools[0].function.name }}"), tools=TOOLS)
    assert "text of a tool stands inside the turn" in found.reason


def test_messages_by_index_are_refused() -> None:
    source = (
        "{% for i in range(messages | length) %}{{ '<' + messages[i].role + '>' + messages[i].content"
        " + '<end>' }}{% endfor %}{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
    )
    found = refusal(source)
    assert found.code == "FTC305"
    assert "does not go through the messages in a loop" in found.reason


def test_a_dropped_answer_is_refused() -> None:
    source = (
        "{% for m in messages %}{% if not (m.role == 'assistant' and loop.first) %}{{ '<' + m.role + '>'"
        " + m.content + '<end>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    assert "writes nothing for message 1" in refusal(source, [assistant("Hi."), *TALK]).reason


@pytest.mark.parametrize(
    "over", ["messages | reverse", "messages[::-1]", "messages | sort(attribute='role')"]
)
def test_reordered_messages_are_refused(over: str) -> None:
    assert refusal(loop("{{ m.content }}", over)).code in ("FTC305", "FTC308")


REPEATED = {
    "in the turn": "{{ m.content + m.content }}",
    "a single letter": "{{ m.content[0] + m.content }}",
    "after its end": "{{ m.content + '<end>' + m.content }}",
    "backwards": "{{ m.content[::-1] }}",
}


@pytest.mark.parametrize("body", REPEATED.values(), ids=REPEATED)
def test_repeated_or_turned_content_is_refused(body: str) -> None:
    assert "repeats" in refusal(loop(body)).reason


def test_a_message_written_by_two_loops_is_refused() -> None:
    source = "{% for m in messages %}{{ m.content }}{% endfor %}" + loop("{{ m.content }}")
    assert refusal(source).code in ("FTC305", "FTC308")
    assert "in 2 places" in refusal(source).reason


@pytest.mark.parametrize("body", ["{{ m.content[:4] }}", "{{ m.content | replace('w', '') }}", ""])
def test_content_that_is_left_out_is_refused(body: str) -> None:
    assert "leaves out part of message 2" in refusal(loop(body)).reason


def test_inner_space_that_is_left_out_is_refused_and_outer_is_not() -> None:
    talk = [user("?"), assistant("  two  words  ")]
    assert "leaves out part" in refusal(loop("{{ m.content.split() | join(' ') }}"), talk).reason
    assert proved(loop("{{ m.content | trim }}"), talk).target == "two  words"


THINKING = "<think>\nHm.\n</think>\n\nAnswer."


def test_a_reasoning_block_may_be_left_out_if_it_always_is() -> None:
    talk = [user("?"), assistant(THINKING), user("?"), assistant("B")]
    body = "{{ m.content.split('</think>')[-1].strip() }}"
    assert [p.text for p in proved(loop(body), talk).pieces if p.trained] == ["Answer.<end>", "B<end>"]
    lost = "<think>a</think>keep this<think>b</think>Answer."
    assert "leaves out part" in refusal(loop(body), [user("?"), assistant(lost)]).reason


def test_a_turn_in_history_form_is_named_and_may_be_excluded_or_kept() -> None:
    body = (
        "{% if loop.last %}{{ m.content }}{% else %}{{ m.content.split('</think>')[-1].strip() }}{% endif %}"
    )
    talk = [user("?"), assistant(THINKING), user("?"), assistant("B")]
    found = refusal(loop(body), talk)
    assert found.code == "FTC308"
    assert "message 2 is rendered otherwise once messages follow it" in found.reason
    excluded = proved(loop(body), talk, history="exclude")
    assert [p.text for p in excluded.pieces if p.trained] == ["B<end>"]
    kept = proved(loop(body), talk, history="keep")
    assert [p.text for p in kept.pieces if p.trained] == ["Answer.<end>", "B<end>"]


def test_a_generation_prompt_that_the_history_lacks_is_history_form() -> None:
    source = loop("{{ m.content }}").replace("'<assistant>'", "'<assistant><think>'")
    assert refusal(source).code == "FTC308"
    kept = proved(source, history="keep")
    assert [p.text for p in kept.pieces if p.trained] == ["Answer.<end>", "Again.<end>"]


def test_a_missing_stop_token_is_refused_unless_none_is_asked_for() -> None:
    source = loop("{{ m.content }}").replace("<end>", "")
    assert "no stop token ('<end>') follows message 2" in refusal(source).reason
    rendered = proved(source, stop_tokens=())
    assert [p.text for p in rendered.pieces if p.trained] == ["Answer.", "Again."]


def test_a_left_out_tool_call_is_refused() -> None:
    talk = [user("Rain?"), assistant("", tool_calls=[call("weather", city="Turku", days=3)])]
    assert "leaves out a tool call of message 2: 'weather'" in refusal(loop("{{ m.content }}"), talk).reason
    named = "{{ m.content }}{% for c in m.tool_calls %}{{ c.function.name }}{% endfor %}"
    assert "leaves out a tool call of message 2: 'city'" in refusal(loop(named), talk).reason
    whole = "{{ m.content }}{% for c in m.tool_calls %}{{ c.function | tojson }}{% endfor %}"
    assert (
        proved(loop(whole), talk).target == '{"name": "weather", "arguments": {"city": "Turku", "days": 3}}'
    )


def test_a_conversation_without_an_answer_has_nothing_to_train() -> None:
    assert refusal(CHATML_WITH_DEFAULT_SYSTEM, [user("?")]).fate == "untrained"


def test_a_template_that_refuses_a_row_says_so() -> None:
    found = refusal(loop("{{ raise_exception('no ' + m.role) }}"))
    assert (found.fate, found.code) == ("invalid", "FTC304")
    assert "no user" in found.reason


def test_the_audit_tells_another_text() -> None:
    template = ChatTemplate(CHATML_WITH_DEFAULT_SYSTEM, special_tokens=SPECIAL)
    rendered = mask_of(template, TALK, train_on="assistant", stop_tokens=("<|im_end|>",))
    assert isinstance(rendered, Rendered)
    found = audit_of(template, [user("Other?"), *TALK[1:]], rendered)
    assert found is not None
    assert "transformers renders other text" in found.reason


def test_an_error_has_the_line_of_the_template() -> None:
    with pytest.raises(TemplateProblem) as syntax:
        ChatTemplate("ok\n{% for %}", special_tokens={})
    assert syntax.value.line == 2
    with pytest.raises(TemplateProblem) as unknown:
        ChatTemplate("\n\n{{ 'x' | no_such_filter }}", special_tokens={})
    assert unknown.value.line == 3
    assert "no_such_filter" in unknown.value.message
    with pytest.raises(TemplateProblem) as running:
        ChatTemplate("a\nb\n{{ messages[0].content + 1 }}", special_tokens={}).render([user("x")])
    assert running.value.line == 3


def test_what_json_cannot_hold_is_refused_by_name() -> None:
    template = ChatTemplate(CHATML_WITH_DEFAULT_SYSTEM, special_tokens=SPECIAL)
    with pytest.raises(TemplateProblem, match="message 2 holds a value of type bytes"):
        template.render([user("x"), {"role": "assistant", "content": b"y"}])


def test_the_clock_is_reported() -> None:
    assert ChatTemplate("{{ strftime_now('%Y') }}", special_tokens={}).uses_clock
    assert not ChatTemplate(CHATML_WITH_DEFAULT_SYSTEM, special_tokens={}).uses_clock
