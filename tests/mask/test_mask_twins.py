"""Masks of unmodified templates against TRL's hand-made training templates, and texts against transformers.

TRL ships, beside a model's template, a twin whose `{% generation %}` blocks say what it would train.
The twin's text may differ from the model's (that is why ftc does not use it), so the two are compared
by message and character: which characters of which content are trained.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from typing import Literal

import pytest
from mask_cases import CASES, SPECIAL, Case, audit_of, mask_of, renderable, shaped, shipped_templates, stops

from ftc.data.rendering.example import Refusal, Rendered
from ftc.data.template.chat_template import ChatTemplate, TemplateProblem, Trace, hugging_face_text
from ftc.data.template.provenance import FIRST_SOURCE

SOURCES = shipped_templates()
MODELS = [name for name in SOURCES if not name.endswith("_training")]
TWINNED = [name for name in MODELS if f"{name}_training" in SOURCES]

Character = tuple[int, tuple[str | int, ...], int]
"""A character of a content: its message, its path there, its offset."""


@cache
def template(name: str) -> ChatTemplate:
    return ChatTemplate(SOURCES[name], special_tokens=SPECIAL)


def mask(name: str, case: Case, history: Literal["refuse", "keep"]) -> Rendered | Refusal | None:
    messages = renderable(name, template(name), case)
    if messages is None:
        return None
    return mask_of(
        template(name),
        messages,
        tools=case.tools,
        train_on="assistant",
        stop_tokens=stops(name),
        history=history,
    )


def spoken(trace: Trace, spans: list[tuple[int, int]]) -> set[Character]:
    """The characters of contents which stand in the spans of a traced rendering."""
    found: set[Character] = set()
    at = 0
    for length, source, offset in trace.runs:
        origin = trace.origins[source - FIRST_SOURCE] if source >= FIRST_SOURCE else None
        if (
            origin
            and origin.message is not None
            and origin.field == "content"
            and not origin.key
            and offset >= 0
        ):
            inside = [i for i in range(length) if any(start <= at + i < end for start, end in spans)]
            found |= {(origin.message, origin.path, offset + i) for i in inside}
        at += length
    return found


def trained_spans(rendered: Rendered) -> list[tuple[int, int]]:
    spans, at = [], 0
    for piece in rendered.pieces:
        if piece.trained:
            spans.append((at, at + len(piece.text)))
        at += len(piece.text)
    return spans


def twin_characters(name: str, case: Case) -> set[Character] | None:
    """What TRL's twin trains, by transformers' own account of its generation blocks."""
    from transformers.utils.chat_template_utils import render_jinja_template

    twin = template(f"{name}_training")
    messages = renderable(name, twin, case)
    if messages is None:
        return None
    texts, spans = render_jinja_template(
        conversations=[messages],
        tools=case.tools,
        chat_template=twin.source,
        return_assistant_tokens_mask=True,
        **SPECIAL,
    )
    trace = twin.trace(twin.prepared(messages), case.tools)
    assert trace.text == texts[0]
    return spoken(trace, spans[0])


def outcome(render: Callable[[], str]) -> str | None:
    """The text, or None where the template refuses the conversation."""
    try:
        return render()
    except TemplateProblem:
        return None


@pytest.mark.parametrize("generation_prompt", [False, True])
@pytest.mark.parametrize("name", SOURCES)
def test_text_is_byte_for_byte_that_of_transformers(name: str, generation_prompt: bool) -> None:
    made = template(name)
    rendered = 0
    for case in CASES:
        messages, tools = shaped(name, case), case.tools
        ours = outcome(partial(made.render, messages, tools=tools, generation_prompt=generation_prompt))
        theirs = outcome(
            partial(
                hugging_face_text,
                made.source,
                messages,
                special_tokens=SPECIAL,
                variables={},
                tools=tools,
                generation_prompt=generation_prompt,
            )
        )
        assert ours == theirs, case.name
        rendered += ours is not None
    assert rendered >= 12


@pytest.mark.parametrize("name", SOURCES)
def test_tracing_does_not_change_the_text(name: str) -> None:
    made = template(name)
    for case in CASES:
        messages = renderable(name, made, case)
        if messages is not None:
            trace = made.trace(made.prepared(messages), case.tools)
            assert type(trace.text) is str
            assert trace.text == made.render(messages, tools=case.tools), case.name


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("history", ["refuse", "keep"])
def test_what_is_masked_is_only_assistant_text(name: str, history: Literal["refuse", "keep"]) -> None:
    made = template(name)
    for case in CASES:
        rendered = mask(name, case, history)
        if not isinstance(rendered, Rendered):
            continue
        messages = renderable(name, made, case)
        assert messages is not None
        assert audit_of(made, messages, rendered, tools=case.tools) is None
        trained = spoken(made.trace(made.prepared(messages), case.tools), trained_spans(rendered))
        assert all(messages[message]["role"] == "assistant" for message, _, _ in trained)


def compare(name: str, case: Case, history: Literal["refuse", "keep"]) -> str:
    """One word for how our mask and the twin's agree on a conversation."""
    ours = mask(name, case, history)
    theirs = twin_characters(name, case)
    if ours is None or theirs is None:
        return "not renderable"
    if isinstance(ours, Refusal):
        return why(ours)
    made = template(name)
    messages = renderable(name, made, case)
    assert messages is not None
    trained = spoken(made.trace(made.prepared(messages), case.tools), trained_spans(ours))
    if trained == theirs:
        return "equal"
    return "more" if theirs < trained else "fewer" if trained < theirs else "different"


def why(refusal: Refusal) -> str:
    if refusal.code == "FTC308":
        return "history form"
    return "left out" if "leaves out" in refusal.reason else "unproved"


# Nemotron's generation prompt ends in `<think>\n`. Where the content itself begins with those characters,
# the prompt supplies them and the model never produces them: no loss here, and loss in the twin.
SUPPLIED = {f"nemotron_3_{size}" for size in ("5_lightning", "nano", "super", "ultra")}
# Trained as it stands in the history, a turn of this one lacks the reasoning which the twin puts back.
PUT_BACK = {"deepseek_r1_distill"}


@pytest.mark.parametrize(
    ("history", "equal", "history_form", "left_out", "unproved"),
    [("refuse", 337, 153, 35, 1), ("keep", 477, 8, 39, 1)],
)
def test_contents_are_trained_as_by_the_hand_made_twins(
    history: Literal["refuse", "keep"], equal: int, history_form: int, left_out: int, unproved: int
) -> None:
    """The figures are those of TRL 1.16; another TRL may ship other templates, so they are bounds."""
    counted: Counter[str] = Counter()
    for name in TWINNED:
        for case in CASES:
            verdict = compare(name, case, history)
            counted[verdict] += 1
            if verdict in ("more", "fewer", "different"):
                assert verdict == "fewer", (name, case.name)
                assert case.name == "inline-think", (name, case.name)
                assert name in SUPPLIED | (PUT_BACK if history == "keep" else set()), name
    assert counted["equal"] >= equal, counted
    assert counted["history form"] <= history_form, counted
    assert counted["left out"] <= left_out, counted
    assert counted["unproved"] <= unproved, counted
