"""Text that was decoded or escaped wrongly on its way into the data."""

from __future__ import annotations

import re

from ftc.lints.base import LintResult, Said, count, listed
from ftc.lints.evidence import Evidence
from ftc.lints.features import Look
from ftc.lints.prefilter import exactly
from ftc.lints.row import Row, Sighting
from ftc.lints.spec import LintSpec

_MARKS = (("\ufffd", "replacement character U+FFFD"), ("\ufeff", "byte order mark U+FEFF"))
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#\d{2,6}|#[xX][0-9a-fA-F]{2,6});")
_MARKUP = re.compile(r"</?[a-zA-Z][^<>]*>|`")
"""A text with tags, or with code, may well mean its entities."""

_TWICE = re.compile(
    "[\u00c2\u00c3\u00c5\u00c6\u00ce\u00cf\u00d0\u00d1\u00d8\u00d9\u00e2\u00e3\u00f0][\u0080-\u00bf\u0152-\u0178\u02c6\u02dc\u2010-\u203a\u20ac\u2122]"
)
"""A letter that begins, and one that goes on, a character of UTF-8 which was read as Latin-1 or cp1252."""


HINTS = (
    exactly("\ufffd"),
    exactly("\ufeff"),
    r"[\x00-\x08\x0e-\x1f\x7f]|\xc2[\x80-\x9f]",
    r"&(?:#|(?:amp|lt|gt|quot|apos|nbsp);)",
    r"\xc3[\x82\x83\x85\x86\x8e-\x91\x98\x99\xa2\xa3\xb0](?:\xc2[\x80-\xbf]|\xc5[\x92-\xb8]|\xcb[\x86\x9c])",
    r"\xc3[\x82\x83\x85\x86\x8e-\x91\x98\x99\xa2\xa3\xb0]\xe2(?:\x80[\x90-\xba]|\x82\xac|\x84\xa2)",
)
"""The five forms of damage as bytes; the last two are `_TWICE`."""

SHARE = 0.001
"""Share of damaged rows from which they are worth a word by themselves: one letter in five thousand
questions is nobody's concern, and 500 of 6,000 mails are."""


def looker(spec: LintSpec) -> Look:
    """Looks at the few characters which are no plain text; `ftfy` judges what was decoded twice."""
    del spec
    return _look


def hints(spec: LintSpec) -> tuple[str, ...]:
    """What is in every damaged text."""
    del spec
    return HINTS


def _look(row: Row) -> Sighting | None:
    text = row.said.text
    place = _replaced(text) or _control(text) or _entity(text) or _twice(text)
    return place and Sighting((place[0],), text, place[1], place[2])


def _replaced(text: str) -> tuple[str, int, int] | None:
    for mark, what in _MARKS:
        at = text.find(mark)
        if at >= 0:
            return what, at, at + 1
    return None


def _control(text: str) -> tuple[str, int, int] | None:
    match = _CONTROL.search(text)
    return None if match is None else ("control character", *match.span())


def _entity(text: str) -> tuple[str, int, int] | None:
    match = _ENTITY.search(text)
    if match is None or _MARKUP.search(text):
        return None
    return f"HTML entity {match.group()}", *match.span()


def _twice(text: str) -> tuple[str, int, int] | None:
    match = None if text.isascii() else _TWICE.search(text)
    if match is None:
        return None
    from ftfy.badness import is_bad

    around = text[max(0, match.start() - 100) : match.end() + 100]
    return ("text decoded twice", *match.span()) if is_bad(around) else None


def judge(evidence: Evidence) -> LintResult | None:
    """Every such row counts."""
    return evidence.result("encoding_damage", least=max(2, SHARE * evidence.rows))


def describe(result: LintResult) -> Said:
    """The result in words."""
    return Said(
        count(result.rows, "has a text with damaged characters", "have texts with damaged characters"),
        (
            'state the encoding of a CSV source: { path = "…", encoding = "latin-1" }',
            "replace what was escaped: replace(column, '&amp;', '&')",
        ),
        (listed(result.counts("kinds")), "the model learns to write them so"),
    )
