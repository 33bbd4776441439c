"""Conversations that every export must render as the run does, beside the run's own prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ftc.jobs.opening import OpenRun

Message = dict[str, Any]
TEXTS = (
    "What is the capital of France?",
    "Two lines:\n\n  the second one is indented.",
    "Say \"yes\" or 'no', or `neither`: {{ .Prompt }} {% if x %} $HOME \\n C:\\temp",
    "Žluťoučký kůň 🐎, 日本語, Ελληνικά, عربى",
    "<b>bold & brave</b> | a\tb",
    "def f(x):\n    return {'a': [x]}\n",
)
"""What messages say. Outer white space is tried apart: templates that trim it are common."""
OUTER = "  between spaces \n"
SYSTEMS = ("You answer in one word.", 'Rules:\n1. Be "kind".\n2. {{ no }} templates.')


def plain(text: str) -> str:
    """A text without outer white space."""
    return text.strip()


def conversations() -> list[list[Message]]:
    """Conversations that end with a user's message, without outer white space."""
    texts = [plain(text) for text in TEXTS]
    users = [[_user(text)] for text in texts]
    ruled = [[_system(rule), _user(text)] for rule in SYSTEMS for text in texts[:3]]
    longer = [
        [
            *start,
            _user(texts[0]),
            _assistant(texts[1]),
            _user(texts[2]),
            _assistant(texts[3]),
            _user(texts[4]),
        ]
        for start in ([], [_system(SYSTEMS[0])])
    ]
    twice = [
        [*start, _user(texts[1]), _assistant(texts[2]), _user(texts[3])] for start in ([], [_system("x")])
    ]
    return [*users, *ruled, *twice, *longer]


def spaced() -> list[list[Message]]:
    """Conversations with outer white space in every place."""
    return [
        [_user(OUTER)],
        [_system(OUTER), _user("a")],
        [_user("a"), _assistant(OUTER), _user("b")],
    ]


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


def _system(text: str) -> Message:
    return {"role": "system", "content": text}


def rendered(run: OpenRun, talks: list[list[Message]]) -> list[tuple[list[Message], str]]:
    """The conversations that the run's template takes, each with the prompt it makes of it."""
    from ftc.data.template.chat_template import TemplateProblem

    found = []
    for talk in talks:
        try:
            found.append((talk, run.rendered(talk)))
        except TemplateProblem:  # the template's own rule: some want no system message
            continue
    return found
