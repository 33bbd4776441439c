"""`convention = "trl"` against TRL's training templates, token for token, on every pair that TRL ships.

The oracle is transformers: it renders and encodes the training template as TRL's trainer does, and gives
a token mask of its `{% generation %}` blocks. That mask is known to be wrong in two ways: where a block
ends in a character of several tokens, it leaves out all but the first; and where a block is empty and
its place is within a token, that token has loss. There the oracle is made of transformers' places of
blocks and of tokens.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from mask_cases import CASES, Case, shaped, shipped_templates, stops

from ftc.data.rendering.example import Refusal, Rendered
from ftc.data.rendering.renderer import Renderer
from ftc.data.template.chat_template import ChatTemplate, hugging_face_blocks
from ftc.data.tokens.encoders import Tokenizers
from ftc.data.tokens.tokenise_whole import WholeEncoder
from ftc.facts.tokenizer import read_tokenizer
from ftc.facts.training_template import training_template
from ftc.plan.steps import RenderStep

SOURCES = shipped_templates()
TWINNED = sorted(name.removesuffix("_training") for name in SOURCES if name.endswith("_training"))
OWN_BLOCKS = [
    name
    for name, source in SOURCES.items()
    if not name.endswith("_training") and ChatTemplate(source, special_tokens={}).has_generation
]
"""Chat templates which say themselves what the model writes."""


@cache
def transformers_tokenizer(directory: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(directory)


def renderer(name: str, directory: Path, **settings: Any) -> Renderer:
    """As the plan's render pass would make it for a model with this template."""
    twin = training_template(SOURCES[name])
    step = RenderStep(
        form="chat",
        fields={"messages": None, "tools": None},
        chat_template=SOURCES[name],
        training_template=twin.source if twin else None,
        convention="trl",
        variables={},
        stop_tokens=stops(name),
        **{"train_on": "assistant", "unproved": "error", **settings},
    )
    facts = read_tokenizer(directory)
    assert facts.eos_id is not None
    return Renderer(step, facts.step(facts.eos_id, facts.eos_id), "<|im_end|>")


def oracle(template: str, directory: Path, name: str, case: Case) -> tuple[list[int], list[int]] | None:
    """Tokens and mask by transformers; None where the template refuses the conversation."""
    tokenizer = transformers_tokenizer(directory)
    from jinja2 import TemplateError

    given = {"tools": case.tools, "chat_template": template}
    messages = shaped(name, case)
    try:
        found = tokenizer.apply_chat_template(
            messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True, **given
        )
    except (TemplateError, TypeError):
        return None
    ids, mask = found["input_ids"], found["assistant_masks"]
    blocks = hugging_face_blocks(
        ChatTemplate(template, special_tokens=tokenizer.special_tokens_map), messages, case.tools
    )
    if case.name == "emoji" or any(start == end for start, end in blocks[1]):
        mask = by_place(tokenizer, *blocks, ids)
    return ids, mask


def by_place(tokenizer: Any, text: str, blocks: list[tuple[int, int]], ids: list[int]) -> list[int]:
    """The mask of the tokens which have a character in one of the blocks."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    assert encoded["input_ids"] == ids
    trained = {place for start, end in blocks for place in range(start, end)}
    return [int(any(place in trained for place in range(*where))) for where in encoded["offset_mapping"]]


@cache
def encoder(directory: Path) -> WholeEncoder:
    return WholeEncoder(Tokenizers(directory / "tokenizer.json"), None)


def ours(made: Renderer, directory: Path, name: str, case: Case) -> tuple[list[int], list[int]] | Refusal:
    row = {"messages": shaped(name, case), "tools": case.tools}
    rendered = made(row)
    if isinstance(rendered, Refusal):
        return rendered
    assert made.audit(row, rendered) is None
    tokens = encoder(directory).encode([rendered])
    return tokens.tokens.tolist(), tokens.mask.tolist()


@pytest.mark.parametrize("name", [*TWINNED, *OWN_BLOCKS])
def test_tokens_and_mask_are_those_of_the_training_template(name: str, smollm2_tokenizer: Path) -> None:
    made = renderer(name, smollm2_tokenizer)
    template = made.step.training_template or SOURCES[name]
    equal = 0
    for case in CASES:
        expected = oracle(template, smollm2_tokenizer, name, case)
        found = ours(made, smollm2_tokenizer, name, case)
        if expected is None or 1 not in expected[1]:
            assert isinstance(found, Refusal), case.name
            assert found.code == ("FTC304" if expected is None else "FTC606"), case.name
            continue
        assert found == expected, case.name
        equal += 1
    assert equal >= 12


def test_every_pair_is_recognised_and_most_conversations_can_be_compared() -> None:
    assert len(TWINNED) >= 31
    for name in TWINNED:
        twin = training_template(SOURCES[name])
        assert twin is not None
        assert SOURCES[twin.name.removesuffix(".jinja")] == twin.source
    assert training_template(SOURCES["llama3_1"]) is None
    assert training_template(SOURCES["qwen3"] + " ") is None


def test_single_answers_and_weights_choose_among_the_blocks(smollm2_tokenizer: Path) -> None:
    case = next(case for case in CASES if case.name == "multi-turn")
    spoken = ["Alpha.<|im_end|>\n", "Beta.<|im_end|>\n", "G.<|im_end|>\n"]
    for weights, train_on, expected in [
        ((1, 1, 1), "assistant", spoken),
        ((1, 0, 1), "assistant", [spoken[0], spoken[2]]),
        ((1, 1, 1), "last_assistant", spoken[2:]),
        ((1, 1, 1), "completion", spoken[2:]),
    ]:
        messages = [dict(message) for message in case.messages]
        for message, weight in zip(messages[1::2], weights, strict=True):
            message["weight"] = weight
        rendered = renderer("qwen3_instruct_2507", smollm2_tokenizer, train_on=train_on)(
            {"messages": messages, "tools": None}
        )
        assert isinstance(rendered, Rendered), rendered
        assert [piece.text for piece in rendered.pieces if piece.trained] == expected
        assert rendered.target == "G."


def test_what_stands_after_the_loop_belongs_to_the_last_answer(smollm2_tokenizer: Path) -> None:
    case = next(case for case in CASES if case.name == "multi-turn")
    rendered = renderer("phi3", smollm2_tokenizer, train_on="last_assistant")(
        {"messages": case.messages, "tools": None}
    )
    assert isinstance(rendered, Rendered)
    eos = transformers_tokenizer(smollm2_tokenizer).eos_token
    assert [piece.text for piece in rendered.pieces if piece.trained] == [f"G.<|end|>\n{eos}"]


def test_all_trains_the_whole_of_the_training_text(smollm2_tokenizer: Path) -> None:
    case = next(case for case in CASES if case.name == "reasoning")
    rendered = renderer("qwen3", smollm2_tokenizer, train_on="all")(
        {"messages": case.messages, "tools": None}
    )
    assert isinstance(rendered, Rendered)
    assert all(piece.trained for piece in rendered.pieces)
    assert rendered.text.count("<think>") == 2
