"""The chat templates that ftc ships: each writes what was published, and its turns are proved.

Where each rendering was published:
- TRL's copies of the models' own templates (trl/chat_templates), rendered by transformers;
- one conversation rendered by llama.cpp's tests for dozens of published templates
  (ggml-org/llama.cpp, tests/test-chat-template.cpp);
- the cards and pages named beside each text below.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest
from mask_cases import CASES, SPECIAL, Case, audit_of, mask_of, shipped_templates

from ftc.data.rendering.example import Refusal
from ftc.data.template.chat_template import ChatTemplate, TemplateProblem, hugging_face_text
from ftc.facts.shipped import shipped_templates as shipped
from ftc.facts.shipped import template_facts, template_tokens

NAMES = sorted(shipped())
ORDINARY = [case for case in CASES if case.tools is None]
FACTS = {"name", "for", "format", "tokens", "stop", "system", "tools"}
MORE_FACTS = {"bos", "end", "reasoning", "variables"}


@cache
def source(name: str) -> str:
    return shipped()[name].read_text(encoding="utf-8")


@cache
def template(name: str, bos: str = "<s>", eos: str = "</s>") -> ChatTemplate:
    return ChatTemplate(source(name), special_tokens={"bos_token": bos, "eos_token": eos})


def stop_of(name: str, eos: str = "</s>") -> str:
    stop = template_facts(source(name))["stop"]
    return eos if stop == "eos_token" else stop


@pytest.mark.parametrize("name", NAMES)
def test_the_leading_block_says_what_one_must_know(name: str) -> None:
    facts = template_facts(source(name))
    assert facts["name"] == name
    assert facts.keys() >= FACTS
    assert facts.keys() <= FACTS | MORE_FACTS
    assert all(facts.values())
    body = source(name).partition("#}")[2]
    system = [] if name == "gemma" else [{"role": "system", "content": "s"}]
    written = template(name).render([*system, *talk("a", "b", "c")], generation_prompt=True)
    assert all(part in written for part in template_tokens(source(name)))
    assert stop_of(name) in written
    assert ("bos_token" in body) == ("bos" in facts)


# TRL's copy of each family's own template; what follows says where the two differ on purpose.
TRL = {
    "command-r": "cohere",
    "deepseek-v3": "deepseekv3",
    "gemma": "gemma",
    "gemma3": "gemma3",
    "llama3": "llama3",
    "phi3": "phi3",
    "qwen2.5": "qwen2_5",
    "qwen3": "qwen3",
}
# TRL's copy is that of a later model which reasons: it drops thinking, and asks for it.
REASONS = ("deepseek-v3",)


def judged(name: str, case: Case, *, generation_prompt: bool) -> str | None:
    try:
        return hugging_face_text(
            shipped_templates()[TRL[name]],
            case.messages,
            special_tokens=SPECIAL,
            variables={},
            tools=case.tools,
            generation_prompt=generation_prompt,
        )
    except TemplateProblem:
        return None


@pytest.mark.parametrize("name", TRL)
def test_the_text_is_that_of_the_models_own_template(name: str) -> None:
    compared = 0
    for case in CASES:
        for prompt in (False, True):
            expected = judged(name, case, generation_prompt=prompt)
            if expected is None or (name in REASONS and (prompt or case.name == "inline-think")):
                continue
            if case.tools and "called as" not in template_facts(source(name))["tools"]:
                continue
            found = template(name).render(case.messages, tools=case.tools, generation_prompt=prompt)
            assert found == expected, case.name
            compared += 1
    assert compared >= 11


# The conversation of llama.cpp's tests, and what it expects of published templates.
CONVERSATION = [
    {"role": "system", "content": "You are a helpful assistant"},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi there"},
    {"role": "user", "content": "Who are you"},
    {"role": "assistant", "content": "   I am an assistant   "},
    {"role": "user", "content": "Another question"},
]
LLAMA_CPP = {
    "chatml": (
        "<|im_start|>system\nYou are a helpful assistant<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n"
        "<|im_start|>assistant\nHi there<|im_end|>\n<|im_start|>user\nWho are you<|im_end|>\n"
        "<|im_start|>assistant\n   I am an assistant   <|im_end|>\n"
        "<|im_start|>user\nAnother question<|im_end|>\n"
        "<|im_start|>assistant\n"
    ),
    "llama2": (
        "[INST] <<SYS>>\nYou are a helpful assistant\n<</SYS>>\n\nHello [/INST] Hi there </s>"
        "[INST] Who are you [/INST] I am an assistant </s>[INST] Another question [/INST]"
    ),
    "mistral-v1": (
        " [INST] You are a helpful assistant\n\nHello [/INST] Hi there</s> [INST] Who are you [/INST]"
        "    I am an assistant   </s> [INST] Another question [/INST]"
    ),
    "mistral-v3": (
        "[INST] You are a helpful assistant\n\nHello[/INST] Hi there</s>[INST] Who are you[/INST]"
        " I am an assistant</s>[INST] Another question[/INST]"
    ),
    "mistral-v3-tekken": (
        "[INST]You are a helpful assistant\n\nHello[/INST]Hi there</s>[INST]Who are you[/INST]"
        "   I am an assistant   </s>[INST]Another question[/INST]"
    ),
    "mistral-v7": (
        "[SYSTEM_PROMPT] You are a helpful assistant[/SYSTEM_PROMPT][INST] Hello[/INST] Hi there</s>"
        "[INST] Who are you[/INST]    I am an assistant   </s>[INST] Another question[/INST]"
    ),
    "vicuna": (
        "You are a helpful assistant\n\nUSER: Hello\nASSISTANT: Hi there</s>\nUSER: Who are you\n"
        "ASSISTANT:    I am an assistant   </s>\nUSER: Another question\nASSISTANT:"
    ),
    "command-r": (
        "<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>You are a helpful assistant<|END_OF_TURN_TOKEN|>"
        "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>Hello<|END_OF_TURN_TOKEN|>"
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>Hi there<|END_OF_TURN_TOKEN|>"
        "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>Who are you<|END_OF_TURN_TOKEN|>"
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>I am an assistant<|END_OF_TURN_TOKEN|>"
        "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>Another question<|END_OF_TURN_TOKEN|>"
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>"
    ),
    "llama3": (
        "<|start_header_id|>system<|end_header_id|>\n\nYou are a helpful assistant<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nHi there<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nWho are you<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nI am an assistant<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nAnother question<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    ),
    "phi3": (
        "<|system|>\nYou are a helpful assistant<|end|>\n"
        "<|user|>\nHello<|end|>\n<|assistant|>\nHi there<|end|>\n"
        "<|user|>\nWho are you<|end|>\n<|assistant|>\n   I am an assistant   <|end|>\n"
        "<|user|>\nAnother question<|end|>\n<|assistant|>\n"
    ),
    "phi4": (
        "<|im_start|>system<|im_sep|>You are a helpful assistant<|im_end|>"
        "<|im_start|>user<|im_sep|>Hello<|im_end|><|im_start|>assistant<|im_sep|>Hi there<|im_end|>"
        "<|im_start|>user<|im_sep|>Who are you<|im_end|>"
        "<|im_start|>assistant<|im_sep|>   I am an assistant   <|im_end|>"
        "<|im_start|>user<|im_sep|>Another question<|im_end|><|im_start|>assistant<|im_sep|>"
    ),
    "granite": (
        "<|start_of_role|>system<|end_of_role|>You are a helpful assistant<|end_of_text|>\n"
        "<|start_of_role|>user<|end_of_role|>Hello<|end_of_text|>\n"
        "<|start_of_role|>assistant<|end_of_role|>Hi there<|end_of_text|>\n"
        "<|start_of_role|>user<|end_of_role|>Who are you<|end_of_text|>\n"
        "<|start_of_role|>assistant<|end_of_role|>   I am an assistant   <|end_of_text|>\n"
        "<|start_of_role|>user<|end_of_role|>Another question<|end_of_text|>\n"
        "<|start_of_role|>assistant<|end_of_role|>"
    ),
}


@pytest.mark.parametrize("name", LLAMA_CPP)
def test_the_text_is_the_one_that_llama_cpp_expects(name: str) -> None:
    assert template(name, bos="").render(CONVERSATION, generation_prompt=True) == LLAMA_CPP[name]


def talk(*contents: str, system: str | None = None) -> list[dict[str, Any]]:
    turns = [
        {"role": ("user", "assistant")[place % 2], "content": content}
        for place, content in enumerate(contents)
    ]
    return [{"role": "system", "content": system}, *turns] if system else turns


# Name, beginning and end tokens, conversation, generation prompt asked for, and the text that was published.
PUBLISHED = [
    # The guide of Mistral AI to its tokenizers (docs.mistral.ai, "Tokenization: Templates").
    (
        "mistral-v1",
        "<s>",
        "</s>",
        talk("Hello, how are you?", "Fine, and you?", "I'm doing great!", "Glad to hear!"),
        False,
        (
            "<s> [INST] Hello, how are you? [/INST] Fine, and you?</s> [INST] I'm doing great! "
            "[/INST] Glad to hear!</s>"
        ),
    ),
    (
        "mistral-v3",
        "<s>",
        "</s>",
        talk("Hello, how are you?", "Fine, and you?", "I'm doing great!", "Glad to hear!"),
        False,
        (
            "<s>[INST] Hello, how are you?[/INST] Fine, and you?</s>[INST] I'm doing great![/INST] "
            "Glad to hear!</s>"
        ),
    ),
    (
        "mistral-v3-tekken",
        "<s>",
        "</s>",
        talk("Hello, how are you?", "Fine, and you?", "I'm doing great!", "Glad to hear!"),
        False,
        (
            "<s>[INST]Hello, how are you?[/INST]Fine, and you?</s>[INST]I'm doing great![/INST]Glad "
            "to hear!</s>"
        ),
    ),
    # lm-sys/FastChat, docs/vicuna_weights_version.md: the example of weights v1.1 and v1.3.
    (
        "vicuna",
        "",
        "</s>",
        talk("Hello!", "Hello!", "How are you?", "I am good."),
        False,
        (
            "A chat between a curious user and an artificial intelligence assistant. The assistant "
            "gives helpful, detailed, and polite answers to the user's questions.\n\nUSER: Hello!\n"
            "ASSISTANT: Hello!</s>\nUSER: How are you?\nASSISTANT: I am good.</s>\n"
        ),
    ),
    # tatsu-lab/stanford_alpaca, README.md: the prompt of an example with an empty input field.
    (
        "alpaca",
        "",
        "</s>",
        talk("{instruction}", "{output}"),
        False,
        (
            "Below is an instruction that describes a task. Write a response that appropriately "
            "completes the request.\n\n### Instruction:\n{instruction}\n\n### Response:\n{output}</s>"
        ),
    ),
    # The card of HuggingFaceH4/zephyr-7b-beta.
    (
        "zephyr",
        "",
        "</s>",
        talk(
            "How many helicopters can a human eat in one sitting?",
            system="You are a friendly chatbot who always responds in the style of a pirate",
        ),
        True,
        (
            "<|system|>\nYou are a friendly chatbot who always responds in the style of a pirate</s>\n"
            "<|user|>\nHow many helicopters can a human eat in one sitting?</s>\n<|assistant|>\n"
        ),
    ),
    # The card of allenai/Llama-3.1-Tulu-3-8B.
    (
        "tulu3",
        "",
        "<|endoftext|>",
        talk(
            "How are you doing?",
            "I'm just a computer program, so I don't have feelings, but I'm functioning as expected. "
            "How can I assist you today?",
        ),
        False,
        (
            "<|user|>\nHow are you doing?\n<|assistant|>\nI'm just a computer program, so I don't have "
            "feelings, but I'm functioning as expected. How can I assist you today?<|endoftext|>"
        ),
    ),
    # meta-llama/llama, llama/generation.py: each exchange is encoded with a beginning and an end token.
    (
        "llama2",
        "<s>",
        "</s>",
        talk("Hello", "Hi", "More", system="Be brief."),
        True,
        ("<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHello [/INST] Hi </s><s>[INST] More [/INST]"),
    ),
]


@pytest.mark.parametrize(("name", "bos", "eos", "messages", "prompt", "text"), PUBLISHED)
def test_the_text_is_the_published_example(
    name: str, bos: str, eos: str, messages: list[dict[str, Any]], prompt: bool, text: str
) -> None:
    assert template(name, bos, eos).render(messages, generation_prompt=prompt) == text


def test_every_template_is_held_against_something_published() -> None:
    assert set(NAMES) == {*TRL, *LLAMA_CPP, *(case[0] for case in PUBLISHED)}


# Writes a turn otherwise once others follow it: its earlier turns are in history form.
REWRITES = ("qwen3",)


def bare(text: str) -> str:
    """What is said, without a block of thoughts."""
    return re.sub(r"^<think>.*</think>\s*", "", text.strip(), flags=re.DOTALL)


@pytest.mark.parametrize("name", NAMES)
def test_ordinary_conversations_are_proved(name: str) -> None:
    made, stop = template(name), stop_of(name)
    proved = set()
    for case in ORDINARY:
        masked = mask_of(made, case.messages, train_on="assistant", stop_tokens=(stop,))
        if isinstance(masked, Refusal):
            assert masked.code in ("FTC304", "FTC308"), (case.name, masked)
            continue
        assert audit_of(made, case.messages, masked) is None
        said = [message["content"].strip() for message in case.messages if message["role"] == "assistant"]
        trained = [piece.text for piece in masked.pieces if piece.trained]
        assert [bare(text.removesuffix(stop)) for text in trained] == [bare(text) for text in said], case.name
        assert all(text.endswith(stop) for text in trained), case.name
        proved.add(case.name)
    several = set() if name in REWRITES else {"multi-turn", "outer-space", "same-text"}
    assert proved >= {"one-turn", "emoji", "inline-think"} | several
    assert ("system" in proved) == (name != "gemma")


@pytest.mark.parametrize("name", NAMES)
def test_a_role_without_a_form_is_named(name: str) -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}]
    if template_facts(source(name))["tools"] != "none":
        assert "b" in template(name).render(messages)
        return
    with pytest.raises(TemplateProblem, match="there is no form for the role tool"):
        template(name).render(messages)
