"""Random conversations over templates whose rendering and mask can be written down by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_cases import CHATML_WITH_DEFAULT_SYSTEM, LLAMA3_LIKE, SPECIAL, audit_of, mask_of

from ftc.data.rendering.example import Piece, Refusal, Rendered
from ftc.data.template.chat_template import ChatTemplate, hugging_face_text

CHATML = ChatTemplate(CHATML_WITH_DEFAULT_SYSTEM, special_tokens=SPECIAL)
LLAMA3 = ChatTemplate(LLAMA3_LIKE, special_tokens=SPECIAL)
ROLES = ("system", "user", "assistant", "tool")

fragments = st.sampled_from(
    [
        "<|im_start|>assistant\n",
        "<|im_end|>",
        "<|im_end|>\n",
        "<|eot_id|>",
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "<s>",
        "</s>",
        "assistant",
        "same",
        " ",
        "\n",
        "{{ bos_token }}",
        "{% endfor %}",
        "👩‍🔬",
        "e\u0301",
        "\u2028",
        "\x00",
    ]
)
contents = st.lists(st.one_of(fragments, st.text(max_size=6)), max_size=5).map("".join)
messages = st.fixed_dictionaries({"role": st.sampled_from(ROLES), "content": contents})
conversations = st.builds(
    lambda first, rest: [{"role": "user", "content": first}, *rest], contents, st.lists(messages, max_size=6)
)


def chatml_pieces(conversation: list[dict[str, str]]) -> list[tuple[str, bool]]:
    first = "<|im_start|>system\nYou are a friendly helper called Ada<|im_end|>\n"
    pieces = [(first, False)] if conversation[0]["role"] != "system" else []
    for message in conversation:
        answer = message["role"] == "assistant"
        pieces += [(f"<|im_start|>{message['role']}\n", False), (message["content"] + "<|im_end|>", answer)]
        pieces.append(("\n", False))
    return pieces


def llama3_pieces(conversation: list[dict[str, str]]) -> list[tuple[str, bool]]:
    pieces = [("<s>", False)]
    for message in conversation:
        if message["role"] != "tool":
            pieces.append((f"<|start_header_id|>{message['role']}<|end_header_id|>\n\n", False))
            pieces.append((message["content"].strip() + "<|eot_id|>", message["role"] == "assistant"))
    return pieces


def merged(pieces: list[tuple[str, bool]]) -> list[Piece]:
    found: list[Piece] = []
    for text, trained in pieces:
        if found and found[-1].trained == trained:
            found[-1] = Piece(found[-1].text + text, trained)
        elif text:
            found.append(Piece(text, trained))
    return found


FAMILIES: list[Any] = [
    pytest.param(CHATML, chatml_pieces, "<|im_end|>", id="chatml"),
    pytest.param(LLAMA3, llama3_pieces, "<|eot_id|>", id="llama3"),
]
Pieces = Callable[[list[dict[str, str]]], list[tuple[str, bool]]]


@pytest.mark.parametrize(("template", "pieces", "stop"), FAMILIES)
@settings(max_examples=150, deadline=None)
@given(conversation=conversations)
def test_every_assistant_turn_is_trained_and_nothing_else(
    template: ChatTemplate, pieces: Pieces, stop: str, conversation: list[dict[str, str]]
) -> None:
    masked = mask_of(template, conversation, train_on="assistant", stop_tokens=("<unused>", stop, "</s>"))
    answers = [message for message in conversation if message["role"] == "assistant"]
    if not answers:
        assert isinstance(masked, Refusal)
        assert masked.code == "FTC606"
        return
    assert isinstance(masked, Rendered), masked
    assert list(masked.pieces) == merged(pieces(conversation))
    assert masked.text == template.render(conversation)
    assert audit_of(template, conversation, masked) is None
    last = max(i for i, message in enumerate(conversation) if message["role"] == "assistant")
    assert masked.prompt == template.render(conversation[:last], generation_prompt=True)
    assert f"{masked.target}{stop}" == [text for text, trained in pieces(conversation) if trained][-1]


@pytest.mark.parametrize(("template", "pieces", "stop"), FAMILIES)
@settings(max_examples=60, deadline=None)
@given(conversation=conversations)
def test_the_last_assistant_turn_alone(
    template: ChatTemplate, pieces: Pieces, stop: str, conversation: list[dict[str, str]]
) -> None:
    conversation = [*conversation, {"role": "assistant", "content": "the end"}]
    masked = mask_of(template, conversation, train_on="last_assistant", stop_tokens=(stop,))
    assert isinstance(masked, Rendered), masked
    assert [piece.text for piece in masked.pieces if piece.trained] == ["the end" + stop]
    assert masked.text == "".join(text for text, _ in pieces(conversation))
    assert masked.target == "the end"


@pytest.mark.parametrize(("template", "pieces", "stop"), FAMILIES)
@settings(max_examples=60, deadline=None)
@given(conversation=conversations)
def test_all_trains_every_character(
    template: ChatTemplate, pieces: Pieces, stop: str, conversation: list[dict[str, str]]
) -> None:
    masked = mask_of(template, conversation, train_on="all", stop_tokens=(stop,))
    assert isinstance(masked, Rendered), masked
    assert masked.pieces == (Piece("".join(text for text, _ in pieces(conversation)), trained=True),)


@settings(max_examples=60, deadline=None)
@given(conversation=conversations)
def test_a_template_renders_as_in_transformers(conversation: list[dict[str, str]]) -> None:
    for template in (CHATML, LLAMA3):
        judge = hugging_face_text(
            template.source, conversation, special_tokens=SPECIAL, variables={}, generation_prompt=True
        )
        assert template.render(conversation, generation_prompt=True) == judge
