"""Rows whose free strings vary, and the comparison of what recordings say of them with their own proof."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st
from mask_cases import Case

from ftc.data.mask.content import Unproved
from ftc.data.mask.masks import History, Part, Policy, TrainOn, mask_conversation
from ftc.data.mask.proof import Conversation, Turn
from ftc.data.rendering.conversation import Chat
from ftc.data.template.chat_template import ChatTemplate, TemplateProblem
from ftc.data.template.specialise.replay import Replay
from ftc.data.template.specialise.specialiser import Specialiser

FIXED = ("role", "type")
TRICKY = [
    *("", " ", "\n", "  two  blanks ", "\n\n lines \n", "\t", "\u2028", "\x00", "\x1c", "\u3000"),
    *(
        "<think>",
        "</think>",
        "<think>\nHm.\n</think>\n\nSo.",
        "</think>",
        "[THINK]a[/THINK]b",
        "<think></think>",
    ),
    *("<|channel>thought\nx<channel|>", "<channel|>", "<|channel|>analysis<|message|>", "<|end|>"),
    *(
        "<|im_end|>",
        "<|im_end|>\n<|im_start|>assistant\n",
        "<|eot_id|>",
        "<|eom_id|>",
        "</s>",
        "<end_of_turn>",
    ),
    *(
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "[/INST]",
        "<turn|>",
        "<|end_of_text|>",
        "<|return|>",
    ),
    *(
        "<tool_response>x</tool_response>",
        "<tool_response>",
        "</tool_response>",
        "<tool_call>",
        "<｜Assistant｜>",
    ),
    *(
        "{{ bos_token }}",
        "{% endfor %}",
        "%s",
        "{0}",
        "\\n",
        "\\",
        "'",
        '"',
        "'quoted'",
        '{"a": 1}',
        "]",
        "[1, 2]",
    ),
    *("👩‍🔬", "e\u0301", "ß", "İ", "ŉ", "Ǆ", "\U0001d54f", "日本", "x" * 300, "42", "-1", "true", "None"),
    *(
        "CONTINUE_FINAL_MESSAGE_TAG ",
        "weather",
        "user",
        "assistant",
        "system",
        "Turku",
        "echo",
        "/think",
        "/no_think",
    ),
]
pieces = st.one_of(st.sampled_from(TRICKY), st.text(max_size=5), st.just("word"))
contents = st.lists(pieces, max_size=4).map("".join)


def free_strings(value: Any, key: Any = None) -> int:
    """How many free strings a value has."""
    if isinstance(value, str):
        return int(key not in FIXED)
    if isinstance(value, dict):
        return sum(free_strings(item, name) for name, item in value.items())
    return sum(map(free_strings, value)) if isinstance(value, list) else 0


def refilled(value: Any, texts: list[str | None], key: Any = None) -> Any:
    """The value with its free strings replaced, from the end of the list; None leaves one as it is."""
    if isinstance(value, str):
        text = texts.pop() if key not in FIXED else None
        return value if text is None else text
    if isinstance(value, dict):
        return {name: refilled(item, texts, name) for name, item in value.items()}
    return [refilled(item, texts) for item in value] if isinstance(value, list) else value


def row_strategy(messages: list[dict[str, Any]]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Conversations of one shape: some of the strings as they are, others anything, several the same."""
    count = free_strings(messages)
    kept = st.none()
    drawn = st.one_of(
        st.lists(st.one_of(kept, contents), min_size=count, max_size=count),
        st.one_of(contents).map(lambda text: [text] * count),
        st.tuples(st.integers(0, max(0, count - 1)), contents).map(
            lambda one: [one[1] if place == one[0] else None for place in range(count)]
        ),
    )
    return drawn.map(lambda texts: refilled(deepcopy(messages), list(texts)))


def eager(template: ChatTemplate) -> Specialiser:
    """A specialiser which records each row that has no recording, put in the template's place for it."""
    template.__dict__["specialiser"] = Specialiser(template, patience=0)
    return template.specialiser


def outcome(prove: Callable[[int], Turn], message: int) -> Any:
    """A turn, or why there is none."""
    try:
        return prove(message)
    except Unproved as unproved:
        return unproved.history, unproved.refusal


def replayed(template: ChatTemplate, chat: Chat, stop_tokens: tuple[str, ...]) -> Replay | None:
    return template.specialiser.replay(template, chat, stop_tokens, parts=True)


def compare_turns(
    template: ChatTemplate, chat: Chat, stop_tokens: tuple[str, ...], seen: Counter[str]
) -> None:
    """Every turn by recordings and by its own proof, in both forms."""
    replay = replayed(template, chat, stop_tokens)
    if replay is None:
        seen["not recorded"] += 1
        return
    prepared = template.prepared(chat.messages)
    full = Conversation(template, prepared, chat.tools, stop_tokens)
    assert replay.text == full.text
    for place, message in enumerate(chat.messages):
        if message["role"] == "assistant":
            assert outcome(replay.prove, place) == outcome(full.prove, place)
            assert outcome(replay.prove_history, place) == outcome(full.prove_history, place)
    seen["recorded"] += 1


HISTORIES: list[History] = ["refuse", "exclude", "keep"]
TRAINED: list[TrainOn] = ["assistant", "last_assistant", "all"]
PARTS: list[frozenset[Part]] = [frozenset(), frozenset({"reasoning", "tool_calls"})]


def policies(stop_tokens: tuple[str, ...]) -> st.SearchStrategy[Policy]:
    """What may carry loss."""
    drawn = st.tuples(st.sampled_from(TRAINED), st.sampled_from(HISTORIES), st.sampled_from(PARTS))
    return drawn.map(lambda one: Policy(one[0], stop_tokens, one[1], one[2]))


def compare_pieces(template: ChatTemplate, chat: Chat, policy: Policy) -> None:
    """What becomes of a row."""
    fast = mask_conversation(template, chat, policy)
    assert fast == mask_conversation(template, chat, policy, full=True)


def renders(template: ChatTemplate, messages: list[dict[str, Any]], case: Case) -> bool:
    try:
        template.render(messages, tools=case.tools)
    except TemplateProblem:
        return False
    return True
