"""Conversations whose template writes earlier turns otherwise: several rows, each as inference has it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_requests import Job, chat, source, write_jsonl
from ftc.data.compile import Compiled
from ftc.data.kept.shown import Viewer
from ftc.data.rendering.conversation import Chat
from ftc.data.rendering.example import Refusal, Rendered, Unrolled
from ftc.data.rendering.renderer import Renderer
from ftc.data.template.chat_template import ChatTemplate, TemplateProblem
from ftc.plan.steps import LimitStep, RenderStep, TokenizerStep
from mask.mask_cases import (
    CASES,
    SPECIAL,
    Case,
    assistant,
    call,
    result,
    shaped,
    shipped_templates,
    stops,
    user,
)

# Reasoning is left out once other messages follow.
FORGETS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and not loop.last %}{{ m.content.split('</think>')[-1] }}"
    "{% else %}{{ m.content }}{% endif %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TOKENIZER = TokenizerStep(special_tokens=SPECIAL, bos_id=None, eos_id=2, pad_id=0)
THOUGHT = [user("a?"), assistant("<think>x</think>A"), user("b?"), assistant("<think>y</think>B")]


def renderer(template: str, stop_tokens: tuple[str, ...] = ("<|im_end|>",), **settings: Any) -> Renderer:
    step = RenderStep(
        form="chat",
        fields={"messages": None, "tools": None},
        chat_template=template,
        stop_tokens=stop_tokens,
        unproved="error",
        **{"variables": {}, "train_on": "assistant", "history": "unroll", **settings},
    )
    return Renderer(step, TOKENIZER, "<|im_end|>")


def trained(rendered: Rendered) -> list[str]:
    return [piece.text for piece in rendered.pieces if piece.trained]


def unrolled(made: Any) -> list[list[str]]:
    assert isinstance(made, Unrolled), made
    return [trained(row) for row in made.rows]


def test_each_answer_is_trained_once_as_inference_would_produce_it() -> None:
    made = renderer(FORGETS)
    row = {"messages": THOUGHT, "tools": None}
    rows = made(row)
    assert unrolled(rows) == [["<think>x</think>A<|im_end|>"], ["<think>y</think>B<|im_end|>"]]
    assert isinstance(rows, Unrolled)
    assert [one.target for one in rows.rows] == ["<think>x</think>A", "<think>y</think>B"]
    template = ChatTemplate(FORGETS, special_tokens=SPECIAL)
    assert [one.text for one in rows.rows] == [template.render(THOUGHT[:2]), template.render(THOUGHT)]
    assert made.audit(row, rows) is None


def test_a_conversation_without_history_form_stays_whole() -> None:
    made = renderer(FORGETS)(
        {"messages": [user("a?"), assistant("A"), user("b?"), assistant("B")], "tools": None}
    )
    assert isinstance(made, Rendered)
    assert trained(made) == ["A<|im_end|>", "B<|im_end|>"]


def test_weights_and_train_on_choose_the_rows() -> None:
    silent = [THOUGHT[0], {**THOUGHT[1], "weight": 0}, *THOUGHT[2:]]
    made = renderer(FORGETS)({"messages": silent, "tools": None})
    assert isinstance(made, Rendered)
    assert trained(made) == ["<think>y</think>B<|im_end|>"]
    assert isinstance(
        renderer(FORGETS, train_on="last_assistant")({"messages": THOUGHT, "tools": None}), Rendered
    )
    followed = renderer(FORGETS, train_on="last_assistant")(
        {"messages": [*THOUGHT, user("c?")], "tools": None}
    )
    assert unrolled(followed) == [["<think>y</think>B<|im_end|>"]]


def test_the_steps_of_one_question_stay_together() -> None:
    """Qwen 3 keeps the reasoning of all that follows the last question: two questions make two rows."""
    steps = [
        user("Rain?"),
        assistant("", reasoning_content="Ask.", tool_calls=[call("weather", city="Turku")]),
        result("wet"),
        assistant("Yes.", reasoning_content="Wet."),
        user("Oulu?"),
        assistant("", reasoning_content="Ask again.", tool_calls=[call("weather", city="Oulu")]),
        result("dry"),
        assistant("No.", reasoning_content="Dry."),
    ]
    made = renderer(shipped_templates()["qwen3"])
    rows = made({"messages": steps, "tools": None})
    assert [len(row) for row in unrolled(rows)] == [2, 2]
    assert isinstance(rows, Unrolled)
    assert all("<think>\n" in text for row in rows.rows for text in trained(row))
    assert made.audit({"messages": steps, "tools": None}, rows) is None


def test_an_answer_that_inference_never_produces_refuses_the_row() -> None:
    lies = FORGETS.replace("<|im_start|>assistant\n{% endif %}", "<|im_start|>assistant\n<think>{% endif %}")
    refused = renderer(lies)({"messages": [*THOUGHT[:2], user("b?"), assistant("B")], "tools": None})
    assert isinstance(refused, Refusal)
    assert refused.code == "FTC308"


MODELS = [name for name in shipped_templates() if not name.endswith("_training")]


def verdict(name: str, made: Renderer, case: Case) -> str:
    """What becomes of a conversation; every answer of one that is kept carries loss once."""
    row = {"messages": shaped(name, case), "tools": case.tools}
    rows = made(row)
    if isinstance(rows, Refusal):
        return rows.code
    assert made.audit(row, rows) is None, case.name
    texts = rows.rows if isinstance(rows, Unrolled) else (rows,)
    answers = sum(message["role"] == "assistant" for message in row["messages"])
    assert sum(len(trained(text)) for text in texts) == answers, case.name
    assert all(text.prompt and text.text.startswith(text.prompt) for text in texts)
    return "unrolled" if isinstance(rows, Unrolled) else "whole"


def test_on_published_templates_what_is_refused_is_what_inference_never_produces() -> None:
    """The figures are those of TRL 1.16; another TRL may ship other templates, so they are bounds.

    FTC308 is left where an answer is no answer to its prompt even at the end: one without reasoning after a
    prompt that opens it, or an answer before any question, which the template cannot ask for.
    """
    found: Counter[str] = Counter()
    for name in MODELS:
        made = renderer(shipped_templates()[name], stops(name))
        found.update(verdict(name, made, case) for case in CASES)
    assert found["whole"] >= 500, found
    assert found["unrolled"] >= 44, found
    assert found["FTC308"] <= 119, found
    assert found["FTC305"] <= 40, found


def test_without_thinking_a_template_that_opens_a_thought_takes_answers_without_one() -> None:
    source_ = shipped_templates()["nemotron_3_nano"]
    row = {"messages": next(case.messages for case in CASES if case.name == "multi-turn"), "tools": None}
    assert isinstance(renderer(source_)(row), Refusal)
    made = renderer(source_, variables={"enable_thinking": False})(row)
    texts = made.rows if isinstance(made, Unrolled) else (made,)
    assert sum(len(trained(text)) for text in texts if isinstance(text, Rendered)) == 3


contents = st.sampled_from(["A", "<think>a</think>B", "<think>\n</think>\n\nC", "", " d "])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(contents, st.sampled_from([0, 1])), max_size=5))
def test_every_answer_with_a_weight_is_trained_exactly_once(talk: list[tuple[str, int]]) -> None:
    messages = [user("start")]
    for content, weight in talk:
        messages += [user("and?"), {**assistant(content), "weight": weight}]
    made = renderer(FORGETS)({"messages": messages, "tools": None})
    wanted = [content for content, weight in talk if weight]
    if isinstance(made, Refusal):
        assert (made.code, wanted) == ("FTC606", [])
        return
    texts = made.rows if isinstance(made, Unrolled) else (made,)
    found = [text for row in texts for text in trained(row)]
    assert sorted(found) == sorted(f"{content}<|im_end|>" for content in wanted)


def compiled(tmp_path: Path, rows: list[list[dict[str, Any]]], **limits: Any) -> tuple[Job, Compiled]:
    path = write_jsonl(
        tmp_path / "t.jsonl", [{"n": n, "messages": json.dumps(m)} for n, m in enumerate(rows)]
    )
    step = chat(messages=None).model_copy(update={"chat_template": FORGETS, "history": "unroll"})
    job = Job(tmp_path, (source(path),), sql="select n, messages from t", id="n", render=step)
    job.limits = LimitStep(**{"max_length": 512, "too_long": "error", "invalid": "error", **limits})
    return job, job.run()


def test_the_rows_have_ids_and_the_ledger_says_so(tmp_path: Path) -> None:
    plain = [user("a?"), assistant("A")]
    job, result_ = compiled(tmp_path, [THOUGHT, plain])
    assert result_.step is not None, result_.problems
    assert result_.directory is not None
    ledger = result_.step.ledger
    (line,) = ledger.lines
    assert (line.fate, line.rows, line.more, line.first_ids) == ("unrolled", 1, 1, ("0",))
    assert (ledger.read, ledger.train, ledger.unexplained) == (2, 3, 0)
    shown = Viewer(result_.step, result_.directory, job.tokenizer, None).some("train", "first", 9)
    assert [row.id for row in shown] == ["0/1", "0/2", "1"]


def test_a_row_goes_as_a_whole(tmp_path: Path) -> None:
    long = [*THOUGHT, user("and " * 200), assistant("C")]
    _, result_ = compiled(tmp_path, [long, THOUGHT], max_length=120, too_long="drop")
    assert result_.step is not None, result_.problems
    ledger = result_.step.ledger
    assert {line.fate: (line.rows, line.first_ids) for line in ledger.lines} == {
        "too_long": (1, ("0",)),
        "unrolled": (1, ("1",)),
    }
    assert (ledger.read, ledger.train, ledger.unexplained) == (2, 2, 0)


def test_a_chat_knows_what_it_does_not_train() -> None:
    from ftc.data.mask.masks import Policy
    from ftc.data.mask.unroll import unrolled as parts_of

    template = ChatTemplate(FORGETS, special_tokens=SPECIAL)
    parts = parts_of(template, Chat(THOUGHT), Policy(stop_tokens=("<|im_end|>",)))
    assert [(len(part.messages), sorted(part.silent)) for part in parts] == [(2, []), (4, [1])]
    with pytest.raises(TemplateProblem):
        parts_of(
            ChatTemplate("{{ raise_exception('no') }}", special_tokens={}),
            Chat(THOUGHT),
            Policy(stop_tokens=()),
        )
