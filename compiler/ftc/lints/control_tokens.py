"""Text inside a row's content that the tokenizer, or the chat template, takes for its own control text."""

from __future__ import annotations

import re

from ftc.lints.base import LintResult, Said, count, listed
from ftc.lints.evidence import Evidence
from ftc.lints.features import Look
from ftc.lints.prefilter import exactly
from ftc.lints.row import Row, Sighting
from ftc.lints.spec import LintSpec

_MARKUP = re.compile(
    r"<\|[^|<>\s]{1,40}\|>|</?s>|<(?:start|end)_of_turn>|\[/?(?:INST|SYSTEM_PROMPT)\]|<</?SYS>>"
)
"""Control text as published chat templates write it."""

_HEADING = re.compile(
    r"(?m)(?:^|\\n|['\"])(### ?[A-Z][A-Za-z ]{2,20}:|(?:USER|ASSISTANT|Human|Assistant|User):)"
)
"""Headings that stand for control tokens in templates such as Alpaca's and Vicuna's."""


def template_texts(chat_template: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The control texts and the headings that stand in a chat template's own text."""
    markup = {match.group() for match in _MARKUP.finditer(chat_template)}
    headings = {match.group(1) for match in _HEADING.finditer(chat_template)}
    return tuple(sorted(markup)), tuple(sorted(headings))


def _words(spec: LintSpec) -> tuple[list[str], tuple[str, ...]]:
    """The control texts, the longest first, and the headings."""
    markup, headings = template_texts(spec.chat_template or "")
    return sorted({*spec.controls, *markup} - {""}, key=lambda word: (-len(word), word)), headings


def hints(spec: LintSpec) -> tuple[str, ...]:
    """The control texts and the headings, wherever they stand."""
    words, headings = _words(spec)
    return tuple(map(exactly, (*words, *headings)))


def looker(spec: LintSpec) -> Look:
    """Looks for the special tokens' texts anywhere, and for the template's headings where a line begins."""
    words, headings = _words(spec)
    patterns = [re.compile("|".join(map(re.escape, words)))] if words else []
    if headings:
        patterns.append(re.compile("(?m)^(?:" + "|".join(map(re.escape, headings)) + ")"))

    def look(row: Row) -> Sighting | None:
        text = row.said.text
        for pattern in patterns:
            match = pattern.search(text)
            if match:
                return Sighting((match.group(),), text, *match.span())
        return None

    return look


def judge(evidence: Evidence) -> LintResult | None:
    """Every such row counts."""
    return evidence.result("control_tokens")


def describe(result: LintResult) -> Said:
    """The result in words."""
    message = count(
        result.rows,
        "has control text of the model in its content",
        "have control text of the model in their content",
    )
    return Said(
        message,
        (
            "leave such rows out in the query, or replace the text: replace(column, '<|im_end|>', '')",
            'where the content is meant to hold it, write control_tokens = "allow" in [lints]',
        ),
        (
            listed(result.counts("kinds")),
            "it is encoded as the control token itself, not as its characters: a turn ends or begins there",
        ),
    )
