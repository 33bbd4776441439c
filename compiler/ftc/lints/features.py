"""What the lints keep of a batch of rows: columns of equal length, and what was seen in single rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha1

import numpy as np

from ftc.lints import LINTS, module
from ftc.lints.evidence import NO_ANSWER, Int32, UInt32, UInt64
from ftc.lints.row import Row, Sighting
from ftc.lints.seen import Seen
from ftc.lints.spec import LintSpec

Look = Callable[[Row], Sighting | None]

SHORT = 400
"""Characters up to which what is asked is compared without case, blanks and end punctuation too.

Longer texts that differ in these alone share nearly all their n-grams, which are compared anyway.
"""

_PART, _MASK = 0x9E3779B97F4A7C15, (1 << 64) - 1
_DROPPED = b" \t\n\r\v\f!?\"'`"


@dataclass(frozen=True, slots=True)
class Features:
    """Columns for the rows of a batch, as `Evidence` explains them, and what was seen by lint."""

    asked: UInt64
    loose: UInt64
    answers: UInt32
    characters: Int32
    seen: dict[str, Seen]


def text_hash(text: str) -> int:
    """64 bits of a text."""
    return _hash(text.encode("utf-8", "surrogatepass"))


def loose_hash(text: str) -> int:
    """64 bits of a text without case, blanks, quotation marks and end punctuation."""
    plain = text.casefold().encode("utf-8", "surrogatepass").translate(None, _DROPPED).rstrip(b".,;:")
    return _hash(plain)


def _hash(text: bytes) -> int:
    """The first 64 bits of SHA-1, which processors compute themselves."""
    return int.from_bytes(sha1(text, usedforsecurity=False).digest()[:8], "big")


class RowLints:
    """The lints of single rows, for one compilation; what is seen in a row depends on that row alone."""

    def __init__(self, spec: LintSpec) -> None:
        modules = {name: module(name) for name in LINTS}
        self._looks: dict[str, Look] = {
            name: found.looker(spec) for name, found in modules.items() if hasattr(found, "looker")
        }

    def look(self, rows: Sequence[Row]) -> Features:
        """The columns of the rows, and what the lints see in them."""
        seen = {name: Seen() for name in self._looks}
        for name, look in self._looks.items():
            for row in rows:
                sighting = look(row)
                if sighting is not None:
                    seen[name].add(row, sighting)
        asked = _asked_hashes(rows)
        loose = [
            loose_hash(row.asked) if len(row.asked) <= SHORT and not row.part else exact
            for row, exact in zip(rows, asked, strict=True)
        ]
        answers = [NO_ANSWER if row.answer is None else _answer_hash(row.answer) for row in rows]
        return Features(
            asked=np.array(asked, dtype=np.uint64),
            loose=np.array(loose, dtype=np.uint64),
            answers=np.array(answers, dtype=np.uint32),
            characters=np.array([len(row.learned) for row in rows], dtype=np.int32),
            seen=seen,
        )


def _asked_hashes(rows: Sequence[Row]) -> list[int]:
    """A hash for what each row asks; the parts of a row have hashes of their own, and its text has one."""
    found, text, hash_ = [], None, 0
    for row in rows:
        if row.asked is not text:
            text, hash_ = row.asked, text_hash(row.asked)
        found.append((hash_ + row.part * _PART) & _MASK)
    return found


def _answer_hash(answer: str) -> int:
    """32 bits, never NO_ANSWER; answers are compared under one prompt alone."""
    return max(text_hash(answer) & 0xFFFFFFFF, NO_ANSWER + 1)
