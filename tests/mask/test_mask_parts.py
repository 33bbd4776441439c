"""Parts of a turn, messages of weight 0, `train_on`: what carries loss, on the templates that TRL ships."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mask_cases import (
    CASES,
    CHATML_WITH_DEFAULT_SYSTEM,
    SPECIAL,
    TOOLS,
    assistant,
    audit_of,
    call,
    mask_of,
    renderable,
    result,
    shipped_templates,
    stops,
    user,
)

from ftc.data.mask.parts import merged, without
from ftc.data.rendering.example import Refusal, Rendered
from ftc.data.template.chat_template import ChatTemplate

SOURCES = shipped_templates()
MODELS = [name for name in SOURCES if not name.endswith("_training")]
REASONED = next(case for case in CASES if case.name == "reasoning-last").messages
INLINE = next(case for case in CASES if case.name == "inline-think").messages
CALLED = next(case for case in CASES if case.name == "ends-on-tool-call").messages


@cache
def template(name: str) -> ChatTemplate:
    return ChatTemplate(SOURCES[name], special_tokens=SPECIAL)


def masked(name: str, messages: list[dict[str, Any]], *parts: str, **policy: Any) -> Rendered:
    found = mask_of(
        template(name),
        messages,
        tools=TOOLS,
        stop_tokens=stops(name),
        masked=frozenset(parts),
        **{"train_on": "assistant", **policy},
    )
    assert isinstance(found, Rendered), found
    return found


def trained(rendered: Rendered) -> list[str]:
    return [piece.text for piece in rendered.pieces if piece.trained]


# What of the last turn carries loss without its reasoning, and what without its tool call.
WITHOUT_REASONING = {
    "qwen3": "It is four.<|im_end|>",
    "qwen3_5_think": "It is four.<|im_end|>",
    "qwen3_8": "It is four.<|im_end|>",
    "nemotron_3_nano": "It is four.<|im_end|>",
    "lfm2_2_5": "It is four.<|im_end|>",
    "glm4moe": "It is four.",
    "gemma4_v5": "It is four.<turn|>",
    "gptoss": "<|start|>assistant<|channel|>final<|message|>It is four.<|return|>",
    "muse_glimmer": "<|start|>assistant to=user<|message|>It is four.<|eot|>",
}
WITHOUT_CALLS = {
    "qwen3": ["<think>\n\n</think>\n\nLet me look.", "<|im_end|>"],
    "qwen2_5": ["Let me look.", "<|im_end|>"],
    "qwen3_5_nothink": ["Let me look.", "<|im_end|>"],
    "lfm2_v2": ["Let me look.", "<|im_end|>"],
    "glm4moe": ["\n<think></think>\nLet me look."],
    "gemma4": ["Let me look.<|tool_response>"],
    "gptoss": ["<|channel|>analysis<|message|>Let me look.<|end|>", "<|call|>"],
}


@pytest.mark.parametrize("name", WITHOUT_REASONING)
def test_reasoning_is_left_out_with_its_tags(name: str) -> None:
    whole = masked(name, REASONED)
    part = masked(name, REASONED, "reasoning")
    assert part.text == whole.text
    assert (part.prompt, part.target) == (whole.prompt, whole.target)
    assert trained(part) == [WITHOUT_REASONING[name]]
    assert "Count twice two." in "".join(trained(whole))
    assert audit_of(template(name), REASONED, part, tools=TOOLS) is None


@pytest.mark.parametrize(
    "name", [name for name in MODELS if name not in ("idefics3", "llava_next", "smolvlm")]
)
def test_inline_reasoning_is_left_out_wherever_the_turn_is_proved(name: str) -> None:
    if renderable(name, template(name), next(case for case in CASES if case.name == "inline-think")) is None:
        pytest.skip("the template refuses the conversation")
    found = mask_of(
        template(name),
        INLINE,
        train_on="assistant",
        stop_tokens=stops(name),
        masked=frozenset({"reasoning"}),
    )
    if isinstance(found, Refusal):
        assert "leaves out" in found.reason or found.code == "FTC308"
        return
    said = "".join(trained(found))
    assert "It is four." in said
    assert "Count" not in said
    assert "think>" not in said


@pytest.mark.parametrize("name", WITHOUT_CALLS)
def test_tool_calls_are_left_out_and_the_stop_token_is_not(name: str) -> None:
    assert trained(masked(name, CALLED, "tool_calls")) == WITHOUT_CALLS[name]
    assert "Turku" in "".join(trained(masked(name, CALLED)))


def test_both_parts_may_be_left_out() -> None:
    messages = [user("Rain?"), {**CALLED[1], "reasoning_content": "Where?"}]
    assert trained(masked("qwen3", messages, "reasoning", "tool_calls")) == ["Let me look.", "<|im_end|>"]
    bare = [
        user("Rain?"),
        assistant("", reasoning_content="Where?", tool_calls=[call("weather", city="Turku")]),
    ]
    assert trained(masked("qwen3", bare, "reasoning", "tool_calls")) == ["<|im_end|>"]
    assert trained(masked("qwen3", bare, "tool_calls")) == ["<think>\nWhere?\n</think>\n\n", "<|im_end|>"]


def test_parallel_calls_are_one_part() -> None:
    messages = [
        user("?"),
        assistant("", tool_calls=[call("weather", 0, city="Oulu"), call("weather", 1, city="Ii")]),
    ]
    assert trained(masked("qwen3_instruct_2507", messages, "tool_calls")) == ["<|im_end|>"]


TALK = [user("1"), assistant("Alpha."), user("2"), assistant("Beta."), user("3"), assistant("Gamma.")]
CHATML = ChatTemplate(CHATML_WITH_DEFAULT_SYSTEM, special_tokens=SPECIAL)


def spoken(messages: list[dict[str, Any]], **policy: Any) -> list[str] | Refusal:
    found = mask_of(CHATML, messages, **{"train_on": "assistant", "stop_tokens": ("<|im_end|>",), **policy})
    return found if isinstance(found, Refusal) else trained(found)


def test_messages_of_weight_zero_carry_no_loss() -> None:
    assert spoken(TALK, silent=(1,)) == ["Beta.<|im_end|>", "Gamma.<|im_end|>"]
    assert spoken(TALK, silent=(5,)) == ["Alpha.<|im_end|>", "Beta.<|im_end|>"]
    assert spoken(TALK, silent=(0, 2)) == ["Alpha.<|im_end|>", "Beta.<|im_end|>", "Gamma.<|im_end|>"]
    refused = spoken(TALK, silent=(1, 3, 5))
    assert isinstance(refused, Refusal)
    assert (refused.fate, refused.code) == ("untrained", "FTC606")
    assert "weight 0" in refused.reason


def test_the_last_answer_of_weight_zero_is_not_replaced_by_an_earlier_one() -> None:
    refused = spoken(TALK, silent=(5,), train_on="last_assistant")
    assert isinstance(refused, Refusal)
    assert refused.code == "FTC606"


def test_all_leaves_out_what_has_no_weight() -> None:
    pieces = spoken(TALK, silent=(3,), train_on="all")
    assert isinstance(pieces, list)
    assert pieces[0].endswith("<|im_start|>user\n2<|im_end|>\n<|im_start|>assistant\n")
    assert pieces[1].startswith("\n<|im_start|>user\n3")
    assert "Beta" not in "".join(pieces)
    refused = spoken(TALK, silent=(2,), train_on="all")
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.fate) == ("FTC604", "invalid")
    assert "message 3 (user)" in refused.reason


def test_all_leaves_out_masked_parts() -> None:
    text = masked("qwen3", REASONED, "reasoning", train_on="all")
    assert "".join(trained(text)) == text.text.replace("<think>\nCount twice two.\n</think>\n\n", "")


def test_reasoning_of_an_earlier_turn_that_is_kept_is_left_out_too() -> None:
    messages = [user("1"), assistant("<think>a</think>A"), user("2"), assistant("<think>b</think>B")]
    assert spoken(messages, masked=frozenset({"reasoning"})) == ["A<|im_end|>", "B<|im_end|>"]


def test_a_result_of_a_tool_is_no_call() -> None:
    messages = [
        user("?"),
        assistant("", tool_calls=[call("weather", city="Ii")]),
        result("wet"),
        assistant("Wet."),
    ]
    said = trained(masked("qwen3_instruct_2507", messages, "tool_calls"))
    assert said == ["<|im_end|>", "Wet.<|im_end|>"]


spans = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 12)).map(lambda s: (s[0], s[0] + s[1])), max_size=6
)


def characters(found: Any) -> set[int]:
    return {place for start, end in found for place in range(start, end)}


@given(one=spans, other=spans)
def test_spans_are_sets_of_places(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    assert characters(merged(one)) == characters(one)
    assert all(a[1] < b[0] for a, b in zip(merged(one), merged(one)[1:], strict=False))
    left = without(merged(one), merged(other))
    assert characters(left) == characters(one) - characters(other)
    assert all(start < end for start, end in left)
