"""Masks as tokens, with the tokenizers of published models: seven kinds, on conversations of every kind.

The oracle of each prompt is transformers' tokenizer: `apply_chat_template` with a generation prompt. What
carries loss is decoded again, and must be the text that was proved.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from mask_cases import CASES, Case
from mask_cases import shipped_templates as trl_templates

from ftc.data.rendering.example import Rendered
from ftc.data.rendering.renderer import Renderer
from ftc.data.template.chat_template import ChatTemplate, TemplateProblem
from ftc.data.work.batch import Batch, Rows
from ftc.data.work.row_work import RowCompiler, RowSpec
from ftc.facts.shipped import shipped_templates
from ftc.facts.tokenizer import read_tokenizer
from ftc.plan.steps import LimitStep, RenderStep, SplitStep, TokenizerStep
from real_tokenizers import PACKAGED, packaged_tokenizer

# Templates for the two tokenizers that come without one.
TEMPLATES = {
    "gptoss": trl_templates()["gptoss"],
    "llama2": shipped_templates()["llama2"].read_text(encoding="utf-8"),
}
DAY = "2024-07-26"
TODAY = 'strftime_now("%Y-%m-%d")'


@dataclass(frozen=True)
class Model:
    """A tokenizer with its chat template, as ftc reads it and as transformers does."""

    name: str
    directory: Path
    template: str
    step: TokenizerStep
    stop_tokens: tuple[str, ...]
    judge: Any

    def render_step(self, **settings: Any) -> RenderStep:
        chat: dict[str, Any] = {
            "form": "chat",
            "fields": {"messages": None, "tools": None},
            "chat_template": self.template,
            "date": DAY if "strftime_now" in self.template else None,
            "stop_tokens": self.stop_tokens,
            "train_on": "assistant",
        }
        return RenderStep(variables={}, unproved="error", **{**chat, **settings})

    def compiler(self, step: RenderStep) -> RowCompiler:
        spec = RowSpec(
            tokenizer_file=self.directory / "tokenizer.json",
            tokenizer=self.step,
            render=step,
            limits=LimitStep(max_length=8192, too_long="error", invalid="error"),
            split=SplitStep(fraction=None, rows=None, keys=("messages",), seed=0),
            threshold=0,
            shapes={},
        )
        return RowCompiler(spec)

    def prompt(self, messages: list[dict[str, Any]], tools: Any) -> list[int]:
        """What transformers gives inference."""
        found = self.judge.apply_chat_template(
            messages,
            tools=tools,
            chat_template=self.template.replace(TODAY, f'"{DAY}"'),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
        )
        return list(found["input_ids"])


@cache
def loaded(directory: Path) -> Model:
    from transformers import AutoTokenizer

    facts = read_tokenizer(directory)
    assert facts.eos_id is not None
    template = TEMPLATES.get(directory.name, facts.chat_template)
    assert template is not None
    return Model(
        directory.name,
        directory,
        template,
        facts.step(facts.eos_id, facts.eos_id),
        facts.stop_tokens,
        AutoTokenizer.from_pretrained(directory),
    )


@pytest.fixture(params=PACKAGED)
def model(request: pytest.FixtureRequest) -> Model:
    return loaded(packaged_tokenizer(request.param, request.config))


def rows(columns: dict[str, list[Any]]) -> Rows:
    count = len(next(iter(columns.values())))
    batch = pa.RecordBatch.from_pydict(
        {name: pa.array(values, pa.string()) for name, values in columns.items()}
    )
    return Rows(
        ids=[str(number) for number in range(count)],
        columns=batch,
        number=0,  # the first rows are audited
        sides=np.zeros(count, dtype=np.uint8),
        copies=np.ones(count, dtype=np.int32),
    )


def chats(cases: list[Case]) -> Rows:
    return rows(
        {
            "messages": [json.dumps(case.messages) for case in cases],
            "tools": [json.dumps(case.tools) if case.tools else None for case in cases],
        }
    )


@cache
def compiled(model_directory: Path) -> Batch:
    """Every conversation, compiled; the first rows are compared with transformers' rendering."""
    model = loaded(model_directory)
    return model.compiler(model.render_step())(chats(CASES))


def tokens_of(batch: Batch, row: int) -> tuple[list[int], list[int]]:
    at = slice(int(batch.offsets[row]), int(batch.offsets[row + 1]))
    return batch.tokens[at].tolist(), batch.mask[at].tolist()


def trained_runs(tokens: list[int], mask: list[int]) -> list[list[int]]:
    pairs = zip(tokens, mask, strict=True)
    return [[token for token, _ in run] for loss, run in groupby(pairs, key=lambda pair: pair[1]) if loss]


def same_text(name: str) -> Callable[[str], str]:
    """What a tokenizer keeps of a text: Qwen's composes accents, and Llama 2's begins texts with a blank."""
    if name == "qwen3":
        return lambda text: unicodedata.normalize("NFC", text)
    return (lambda text: text.replace(" ", "")) if name == "llama2" else (lambda text: text)


def test_the_tokens_with_loss_are_the_proved_text(model: Model) -> None:
    step = model.render_step()
    renderer = Renderer(step, model.step, "")
    batch = compiled(model.directory)
    same, compared = same_text(model.name), 0
    for row, id_ in enumerate(batch.ids):
        case = CASES[int(id_)]
        rendered = renderer({"messages": case.messages, "tools": case.tools})
        assert isinstance(rendered, Rendered)
        tokens, mask = tokens_of(batch, row)
        found = [model.judge.decode(run) for run in trained_runs(tokens, mask)]
        proved = [piece.text for piece in rendered.pieces if piece.trained]
        assert same("".join(found)) == same("".join(proved)), case.name
        assert len(found) == len(proved) or case.name == "assistant-twice"
        compared += 1
    assert compared >= 6


def test_the_prompt_of_inference_begins_the_row(model: Model) -> None:
    batch = compiled(model.directory)
    for row, id_ in enumerate(batch.ids):
        case = CASES[int(id_)]
        last = max(i for i, message in enumerate(case.messages) if message["role"] == "assistant")
        expected = model.prompt(case.messages[:last], case.tools)
        tokens, _ = tokens_of(batch, row)
        assert batch.prompt_lengths[row] == len(expected), case.name
        assert tokens[: len(expected)] == expected, case.name


def test_what_is_refused_is_refused_for_a_reason(model: Model) -> None:
    batch = compiled(model.directory)
    codes = Counter(account.code for account in batch.account)
    assert len(batch.ids) + len(batch.account) == len(CASES)
    assert set(codes) <= {"FTC304", "FTC305", "FTC308", "FTC312"}, codes
    # A cut which inference would not make is found, and only where an answer begins with white space.
    assert {CASES[int(one.id)].name for one in batch.account if one.code == "FTC312"} <= {"outer-space"}


def test_beginning_and_end_tokens_stand_once(model: Model) -> None:
    batch = compiled(model.directory)
    bos = model.judge.bos_token_id
    for row, id_ in enumerate(batch.ids):
        case = CASES[int(id_)]
        if case.name == "control-look-alikes" or bos is None:
            continue
        tokens, _ = tokens_of(batch, row)
        exchanges = sum(message["role"] == "user" for message in case.messages)
        wanted = exchanges if model.name == "llama2" else 1  # Llama 2 writes one before each exchange
        assert tokens.count(bos) == wanted * (model.name != "gptoss"), case.name
        assert tokens[0] == bos or model.name == "gptoss"


@pytest.mark.parametrize("form", ["completion", "text"])
def test_plain_text_begins_and_ends_once(model: Model, form: str) -> None:
    fields = ("prompt", "completion") if form == "completion" else ("text",)
    step = model.render_step(
        form=form,
        fields=dict.fromkeys(fields),
        chat_template=None,
        date=None,
        train_on="completion" if form == "completion" else "all",
    )
    given = {"prompt": ["2 + 2 = "], "completion": ["four"], "text": ["A document.\n\nIt has two parts."]}
    batch = model.compiler(step)(rows({name: given[name] for name in fields}))
    tokens, mask = tokens_of(batch, 0)
    begins = [model.step.bos_id] if model.step.bos_id is not None else []
    text = "".join(given[name][0] for name in fields)
    assert tokens == [*model.judge(text)["input_ids"], model.step.eos_id] or form == "completion"
    assert tokens[: len(begins)] == begins
    assert [tokens.count(token) for token in (*begins, model.step.eos_id)] == [1] * (len(begins) + 1)
    assert tokens[-1] == model.step.eos_id
    assert mask[-1] == 1
    assert sum(mask[: len(begins)]) == 0
    if form == "completion":
        asked = model.judge(given["prompt"][0])["input_ids"]
        assert tokens[: len(asked)] == asked
        assert (batch.prompt_lengths[0], sum(mask[: len(asked)])) == (len(asked), 0)
        answer = model.judge.decode(tokens[len(asked) : -1])
        assert same_text(model.name)(answer) == "four"


def test_every_model_has_a_template_that_traces(model: Model) -> None:
    made = ChatTemplate(model.template, special_tokens=model.step.special_tokens)
    rendered = 0
    for case in CASES:
        try:
            text = made.render(case.messages, tools=case.tools)
        except TemplateProblem:
            continue
        assert made.trace(made.prepared(case.messages), case.tools).text == text
        rendered += 1
    assert rendered >= 8


SHIPPED = {"deepseek_v3": "deepseek-v3", "gemma3": "gemma3", "qwen3": "qwen3"}


def test_shipped_templates_write_what_the_tokenizers_own_do(model: Model) -> None:
    if model.name not in SHIPPED:
        pytest.skip("ftc ships no template for it, or the tokenizer has none")
    source = shipped_templates()[SHIPPED[model.name]].read_text(encoding="utf-8")
    own = ChatTemplate(model.template, special_tokens=model.step.special_tokens)
    ours = ChatTemplate(source, special_tokens=model.step.special_tokens)
    compared = 0
    for case in [case for case in CASES if case.tools is None]:
        for asked in (False, True):
            try:
                expected = own.render(case.messages, generation_prompt=asked)
            except TemplateProblem:
                continue
            assert ours.render(case.messages, generation_prompt=asked) == expected, case.name
            compared += 1
    assert compared >= 20
