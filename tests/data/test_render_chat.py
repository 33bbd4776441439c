"""Chats through the renderer: tools, a fixed date, history, each held against transformers' own rendering."""

from __future__ import annotations

from typing import Any

import pytest

from ftc.data.rendering.example import Refusal, Rendered
from ftc.data.rendering.renderer import Renderer
from ftc.data.template.chat_template import hugging_face_text
from ftc.plan.steps import RenderStep, TokenizerStep

DATED = (
    "{{ strftime_now('%d %b %Y') }}\n"
    "{% if tools %}{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}{% endif %}"
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
STRIPS_HISTORY = (
    "{% for m in messages %}<|{{ m.role }}|>"
    "{% if m.role == 'assistant' and not loop.last %}{{ m.content.split('</think>')[-1] }}"
    "{% else %}{{ m.content }}{% endif %}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
TOKENIZER = TokenizerStep(special_tokens={}, bos_id=None, eos_id=1, pad_id=1)
ANSWERED = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


def renderer(template: str, fields: tuple[str, ...] = ("messages",), **more: Any) -> Renderer:
    settings: dict[str, Any] = {"train_on": "assistant", "unproved": "error", "variables": {}, **more}
    step = RenderStep(
        form="chat",
        fields=dict.fromkeys(fields),
        chat_template=template,
        stop_tokens=("<|end|>",),
        **settings,
    )
    return Renderer(step, TOKENIZER, "<|end|>")


def test_a_fixed_date_is_printed_and_still_audited() -> None:
    row = {"messages": ANSWERED}
    dated = renderer(DATED, date="2024-07-26")
    rendered = dated(row)
    assert isinstance(rendered, Rendered)
    assert rendered.text.startswith("26 Jul 2024\n")
    assert dated.audit(row, rendered) is None


@pytest.mark.parametrize("tools", [[TOOL], '[{"type": "function", "function": {"name": "f"}}]', None, []])
def test_tools_are_rendered_as_transformers_does(tools: Any) -> None:
    template = DATED.removeprefix("{{ strftime_now('%d %b %Y') }}\n")
    row = {"messages": ANSWERED, "tools": tools}
    made = renderer(template, ("messages", "tools"))
    rendered = made(row)
    assert isinstance(rendered, Rendered)
    assert made.audit(row, rendered) is None
    assert ('"name": "f"' in rendered.text) == bool(tools)
    bare = hugging_face_text(template, ANSWERED, special_tokens={}, variables={})
    assert (rendered.text == bare) == (not tools)


def test_tools_that_are_none_make_the_row_invalid() -> None:
    refused = renderer(DATED, ("messages", "tools"), date="2024-07-26")(
        {"messages": ANSWERED, "tools": "[1]"}
    )
    assert isinstance(refused, Refusal)
    assert (refused.fate, refused.code) == ("invalid", "FTC604")


def test_history_is_refused_left_out_or_kept() -> None:
    thought = {"role": "assistant", "content": "<think>a</think>yo"}
    row = {"messages": [ANSWERED[0], thought, {"role": "user", "content": "and?"}, ANSWERED[1]]}
    refused = renderer(STRIPS_HISTORY)(row)
    assert isinstance(refused, Refusal)
    assert refused.code == "FTC308"
    excluded, kept = (
        renderer(STRIPS_HISTORY, history="exclude")(row),
        renderer(STRIPS_HISTORY, history="keep")(row),
    )
    assert isinstance(excluded, Rendered)
    assert isinstance(kept, Rendered)
    assert [piece.text for piece in excluded.pieces if piece.trained] == ["yo<|end|>"]
    assert [piece.text for piece in kept.pieces if piece.trained] == ["yo<|end|>", "yo<|end|>"]
    assert excluded.text == kept.text


WEIGHTED = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ m.weight }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def answers(*weights: Any) -> dict[str, Any]:
    turns = [[ANSWERED[0], {**ANSWERED[1], "content": f"A{n}", "weight": w}] for n, w in enumerate(weights)]
    return {"messages": [message for turn in turns for message in turn]}


@pytest.mark.parametrize("zero", [0, 0.0])
def test_a_weight_says_whether_an_answer_carries_loss_and_is_no_field_of_the_message(zero: float) -> None:
    made = renderer(WEIGHTED)
    rendered = made(answers(1, zero, None))
    assert isinstance(rendered, Rendered)
    assert [piece.text for piece in rendered.pieces if piece.trained] == ["A0<|end|>", "A2<|end|>"]
    assert made.audit(answers(1, zero, None), rendered) is None


@pytest.mark.parametrize("weight", [0.5, 2, -1, True, "1", [1]])
def test_other_weights_make_the_row_invalid(weight: Any) -> None:
    refused = renderer(WEIGHTED)(answers(1, weight))
    assert isinstance(refused, Refusal)
    assert (refused.fate, refused.code) == ("invalid", "FTC604")
    assert refused.reason == f"message 4 has the weight {weight!r}; it is 0 (no loss) or 1"


def test_only_an_answer_has_the_weight_1() -> None:
    refused = renderer(WEIGHTED)({"messages": [{**ANSWERED[0], "weight": 1}, ANSWERED[1]]})
    assert isinstance(refused, Refusal)
    assert refused.reason == "message 1 (user) has the weight 1; only answers carry loss"
    assert isinstance(renderer(WEIGHTED)({"messages": [{**ANSWERED[0], "weight": 0}, ANSWERED[1]]}), Rendered)


THINKING = (
    "{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'assistant' and not enable_thinking %}<no>"
    "{% endif %}{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% if not enable_thinking %}<no>{% endif %}{% endif %}"
)


@pytest.mark.parametrize("given", [{"enable_thinking": False}, '{"enable_thinking": false}'])
def test_a_row_may_have_variables_of_its_own(given: Any) -> None:
    made = renderer(THINKING, ("messages", "chat_template_kwargs"), variables={"enable_thinking": True})
    for own, text in [(given, "<|assistant|><no>"), (None, "<|assistant|>"), ({}, "<|assistant|>")]:
        row = {"messages": ANSWERED, "chat_template_kwargs": own}
        rendered = made(row)
        assert isinstance(rendered, Rendered)
        assert rendered.prompt == f"<|user|>hi<|end|>{text}"
        assert made.audit(row, rendered) is None
        variables = {"enable_thinking": not own}
        judge = hugging_face_text(THINKING, ANSWERED, special_tokens={}, variables=variables)
        assert rendered.text == judge


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"messages": []}, "sets `messages`, which is not the row's to set"),
        ('{"tools": []}', "sets `tools`"),
        ("[1]", "is not an object"),
        ("{", "is not JSON"),
    ],
)
def test_variables_that_are_none_make_the_row_invalid(given: Any, reason: str) -> None:
    made = renderer(THINKING, ("messages", "chat_template_kwargs"))
    refused = made({"messages": ANSWERED, "chat_template_kwargs": given})
    assert isinstance(refused, Refusal)
    assert refused.code == "FTC604"
    assert reason in refused.reason


def test_a_second_system_message_is_refused() -> None:
    made = renderer(WEIGHTED, ("messages", "system"))
    rendered = made({"messages": ANSWERED, "system": "Be brief."})
    assert isinstance(rendered, Rendered)
    assert rendered.text.startswith("<|system|>Be brief.")
    refused = made({"messages": [{"role": "system", "content": "x"}, *ANSWERED], "system": "Be brief."})
    assert isinstance(refused, Refusal)
    assert "`render.system` adds another" in refused.reason


def test_reasoning_in_a_plain_completion_is_left_out() -> None:
    step = RenderStep(
        form="completion",
        fields=dict.fromkeys(("prompt", "completion")),
        chat_template=None,
        variables={},
        reasoning="mask",
        train_on="completion",
        unproved="error",
    )
    made = Renderer(step, TOKENIZER, "<eos>")
    rendered = made({"prompt": "2+2?", "completion": "<think>two twice</think>\nFour."})
    assert isinstance(rendered, Rendered)
    assert [piece.text for piece in rendered.pieces if piece.trained] == ["Four.", "<eos>"]
    assert rendered.target == "<think>two twice</think>\nFour."
