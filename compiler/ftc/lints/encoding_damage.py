"""Text that was decoded or escaped wrongly on its way into the data."""

from __future__ import annotations

import re

from ftc.lints.base import LintResult, Said, count, listed
from ftc.lints.evidence import Evidence
from ftc.lints.features import Look
from ftc.lints.row import Row, Sighting
from ftc.lints.scan import Scan
from ftc.lints.spec import LintSpec

_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_CONTROL_BYTES = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]|\xc2[\x80-\x9f]")
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#\d{2,6}|#[xX][0-9a-fA-F]{2,6});")
_MARKUP = re.compile(r"</?[a-zA-Z][^<>]*>|`")
"""A text with tags, or with code, may well mean its entities."""

_TWICE = re.compile(
    "[\u00c2\u00c3\u00c5\u00c6\u00ce\u00cf\u00d0\u00d1\u00d8\u00d9\u00e2\u00e3\u00f0][\u0080-\u00bf\u0152-\u0178\u02c6\u02dc\u2010-\u203a\u20ac\u2122]"
)
"""A letter that begins, and one that goes on, a character of UTF-8 which was read as Latin-1 or cp1252."""


SHARE = 0.001
"""Share of damaged rows from which they are worth a word by themselves: one letter in five thousand
questions is nobody's concern, and 500 of 6,000 mails are."""


def looker(spec: LintSpec) -> Look:
    """Looks at the few characters which are no plain text; `ftfy` judges what was decoded twice."""
    del spec
    return _look


def _look(row: Row) -> Sighting | None:
    scan = row.said
    if not scan.unusual:
        return None
    place = _replaced(scan) or _control(scan) or _entity(scan) or _twice(scan)
    return place and Sighting((place[0],), scan.text, place[1], place[2])


def _replaced(scan: Scan) -> tuple[str, int, int] | None:
    if b"\xef\xbf\xbd" in scan.unusual:
        at = scan.text.index("\ufffd")
        return "replacement character U+FFFD", at, at + 1
    if b"\xef\xbb\xbf" in scan.unusual:
        at = scan.text.index("\ufeff")
        return "byte order mark U+FEFF", at, at + 1
    return None


def _control(scan: Scan) -> tuple[str, int, int] | None:
    if _CONTROL_BYTES.search(scan.unusual) is None:
        return None
    match = _CONTROL.search(scan.text)
    return None if match is None else ("control character", *match.span())


def _entity(scan: Scan) -> tuple[str, int, int] | None:
    if b"&" not in scan.unusual:
        return None
    match = _ENTITY.search(scan.text)
    if match is None or _MARKUP.search(scan.text):
        return None
    return f"HTML entity {match.group()}", *match.span()


def _twice(scan: Scan) -> tuple[str, int, int] | None:
    match = None if scan.text.isascii() else _TWICE.search(scan.text)
    if match is None:
        return None
    from ftfy.badness import is_bad

    around = scan.text[max(0, match.start() - 100) : match.end() + 100]
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
