"""Rows proved from recordings against the same rows proved by themselves, over every template there is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mask_cases import CASES, SPECIAL, Case, shaped, shipped_templates, stops
from specialised_rows import (
    compare_pieces,
    compare_turns,
    eager,
    outcome,
    policies,
    renders,
    replayed,
    row_strategy,
)

from ftc.data.mask.masks import Policy
from ftc.data.mask.proof import Turn
from ftc.data.rendering.conversation import Chat
from ftc.data.template.chat_template import ChatTemplate
from ftc.data.template.specialise.replay import Replay
from ftc.data.template.specialise.turns import PromptPlan

SOURCES = shipped_templates() | {
    path.stem: path.read_text(encoding="utf-8")
    for path in (Path(__file__).parents[2] / "templates").glob("*.jinja")
}
DATED = {"strftime_now": lambda form: "1 May 2025"}  # noqa: ARG005


def made(name: str) -> ChatTemplate:
    template = ChatTemplate(SOURCES[name], special_tokens=SPECIAL, variables=DATED)
    eager(template)
    return template


def rows(name: str) -> st.SearchStrategy[tuple[Case, list[dict[str, Any]]]]:
    return st.sampled_from(CASES).flatmap(
        lambda case: row_strategy(shaped(name, case)).map(lambda messages: (case, messages))
    )


@pytest.mark.parametrize("name", SOURCES)
def test_turns_from_recordings_are_those_of_the_full_proof(name: str) -> None:
    template, seen = made(name), Counter[str]()

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(row=rows(name))
    def compare(row: tuple[Case, list[dict[str, Any]]]) -> None:
        case, messages = row
        if renders(template, messages, case):
            compare_turns(template, Chat(messages, case.tools), stops(name), seen)

    compare()
    assert seen["recorded"] > seen["not recorded"]


@pytest.mark.parametrize("name", ["qwen3", "llama3_1", "gemma4", "gptoss", "nemotron_3_nano", "chatml"])
def test_rows_from_recordings_have_the_same_pieces_or_refusals(name: str) -> None:
    template = made(name)

    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
    @given(row=rows(name), policy=policies(stops(name)))
    def compare(row: tuple[Case, list[dict[str, Any]]], policy: Policy) -> None:
        case, messages = row
        compare_pieces(template, Chat(messages, case.tools), policy)

    compare()


def verdict(replay: Replay, message: int) -> str:
    """In a word, how a turn is proved, or that it is not."""
    plan = replay.plan(message)
    if isinstance(plan, PromptPlan):
        return "history"
    if isinstance(outcome(replay.prove, message), Turn):
        return "planned" if plan else "no plan"
    return "refused"


def planned(name: str) -> Counter[str]:
    """How the turns of the cases are proved."""
    template, found = made(name), Counter[str]()
    for case in CASES:
        messages = shaped(name, case)
        if not renders(template, messages, case):
            continue
        replay = replayed(template, Chat(messages, case.tools), stops(name))
        found["recorded" if replay else "not recorded"] += 1
        for place, message in enumerate(messages):
            if replay and message["role"] == "assistant":
                found[verdict(replay, place)] += 1
    return found


def test_nearly_every_conversation_is_proved_from_a_recording() -> None:
    """The figures are those of TRL 1.16; another TRL may ship other templates, so they are bounds."""
    found = sum((planned(name) for name in SOURCES), Counter[str]())
    assert found["not recorded"] == 0
    assert found["recorded"] >= 1_250, found
    assert found["planned"] >= 1_600, found
    assert found["no plan"] <= 10, found
