"""Chats through the renderer: tools, a fixed date, history, each held against transformers' own rendering."""

from __future__ import annotations

from typing import Any

import pytest

from ftc.data.chat_template import hugging_face_text
from ftc.data.example import Refusal, Rendered
from ftc.data.render import Renderer
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
