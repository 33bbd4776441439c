"""Format: how the answer begins and ends, and what shape it has."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import get_args

from ftc.evaluation import checks, valid_json
from ftc.evaluation.base import Answer, Form, Metric, Options

FENCE = re.compile(r"^```[^\n`]*\n.*?^```[ \t]*$", re.MULTILINE | re.DOTALL)
BULLET = re.compile(r"[-*•][ \t]+\S")
NUMBERED = re.compile(r"(\d+)[.)][ \t]+\S")


def lines(text: str) -> list[str]:
    """The lines that are not empty, without outer white space."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def _json(text: str) -> bool:
    return valid_json.score(Answer("", text), Options()) == 1


def _fenced(text: str) -> bool:
    return FENCE.search(text) is not None


def _bullets(text: str) -> bool:
    return bool(lines(text)) and all(BULLET.match(line) for line in lines(text))


def _numbered(text: str) -> bool:
    found = [NUMBERED.match(line) for line in lines(text)]
    return bool(found) and [m and int(m[1]) for m in found] == list(range(1, len(found) + 1))


def _one_line(text: str) -> bool:
    return len(lines(text)) == 1


def _one_word(text: str) -> bool:
    return len(text.split()) == 1


def _uppercase(text: str) -> bool:
    return text.isupper()


def _lowercase(text: str) -> bool:
    return text.islower()


FORMS: dict[Form, Callable[[str], bool]] = {
    "json": _json,
    "fenced": _fenced,
    "bullets": _bullets,
    "numbered": _numbered,
    "one_line": _one_line,
    "one_word": _one_word,
    "uppercase": _uppercase,
    "lowercase": _lowercase,
}
"""json: the answer is JSON. fenced: it has a code block between ``` lines. bullets: every line is a bullet.
numbered: every line has its number, from 1. one_line, one_word: it has one. uppercase, lowercase: all is."""


def score(answer: Answer, options: Options) -> float | None:
    """1 where all that is stated of `form`, `starts_with` and `ends_with` holds; None where nothing is.

    Outer white space is left out first; case counts.
    """
    own, text = options.of(answer), answer.answer.strip()
    held: list[bool] = []
    if own.form is not None:
        held.append(FORMS[own.form](text))
    if own.starts_with is not None:
        held.append(text.startswith(own.starts_with))
    if own.ends_with is not None:
        held.append(text.endswith(own.ends_with))
    return float(all(held)) if held else None


def check(options: Options) -> checks.Findings:
    """No form is stated, or one that there is not."""
    stated = (options.form, options.starts_with, options.ends_with)
    if options.form is not None and options.form not in FORMS:
        return checks.unusable(
            "form", f"there is no form {options.form!r}", f"one of {', '.join(get_args(Form))}"
        )
    if any(stated) or options.columns & {"form", "starts_with", "ends_with"}:
        return ()
    return checks.needed("format", "form", 'form = "bullets"')


METRIC = Metric("format", "has the format", score=score, alone=True, check=check)
