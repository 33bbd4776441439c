"""What the lints keep of a batch of rows: columns of equal length, and what was seen in single rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from zlib import crc32

import numpy as np

from ftc.lints import LINTS, module
from ftc.lints.evidence import NO_ANSWER, Int32, UInt32, UInt64
from ftc.lints.prefilter import Prefilter
from ftc.lints.row import Row, Sighting
from ftc.lints.seen import Seen
from ftc.lints.spec import LintSpec

Look = Callable[[Row], Sighting | None]

SHORT = 400
"""Characters up to which what is asked is compared without case, blanks and end punctuation too.

Longer texts that differ in these alone share nearly all their n-grams, which are compared anyway.
"""

_PART = np.uint64(0x9E3779B97F4A7C15)
_DROPPED = b" \t\n\r\v\f!?\"'`"


@dataclass(frozen=True, slots=True)
class Features:
    """Columns for the rows of a batch, as `Evidence` explains them, and what was seen by lint."""

    asked: UInt64
    loose: UInt64
    answers: UInt32
    characters: Int32
    seen: dict[str, Seen]


def loose_form(text: str) -> bytes:
    """A text without case, blanks, quotation marks and end punctuation."""
    return text.casefold().encode("utf-8", "surrogatepass").translate(None, _DROPPED).rstrip(b".,;:")


def load() -> None:
    """Load what lints look with, so that a process that is forked later has it."""
    for name in LINTS:
        loading = getattr(module(name), "load", None)
        if loading is not None:
            loading()


class RowLints:
    """The lints of single rows, for one compilation; what is seen in a row depends on that row alone."""

    def __init__(self, spec: LintSpec) -> None:
        modules = {name: module(name) for name in LINTS}
        modules = {name: found for name, found in modules.items() if hasattr(found, "looker")}
        hints = {name: found.hints(spec) for name, found in modules.items() if hasattr(found, "hints")}
        self._looks: dict[str, Look] = {name: found.looker(spec) for name, found in modules.items()}
        self._hinted = frozenset(hints)
        self._prefilter = Prefilter([hint for several in hints.values() for hint in several])

    def look(self, rows: Sequence[Row]) -> Features:
        """The columns of the rows, and what the lints see in them."""
        seen = {name: Seen() for name in self._looks}
        some = self._prefilter(rows)
        for name, look in self._looks.items():
            for row in some if name in self._hinted else rows:
                sighting = look(row)
                if sighting is not None:
                    seen[name].add(row, sighting)
        asked, loose = _hashes(rows)
        return Features(
            asked=asked,
            loose=loose,
            answers=np.array([_answer_hash(row.answer) for row in rows], dtype=np.uint32),
            characters=np.array([len(row.learned) for row in rows], dtype=np.int32),
            seen=seen,
        )


def _hashes(rows: Sequence[Row]) -> tuple[UInt64, UInt64]:
    """64 bits of what each row asks, and of its loose form if it is short.

    The parts of a row have hashes of their own, and its text has one.
    """
    exact, loose, text, digest = [], [], None, b""
    for row in rows:
        if row.asked is not text:
            text = row.asked
            digest = sha256(text.encode("utf-8", "surrogatepass")).digest()
        exact.append(digest)
        short = len(text) <= SHORT and not row.part
        loose.append(sha256(loose_form(text)).digest() if short else digest)
    parts = np.array([row.part for row in rows], dtype=np.uint64) * _PART
    return _numbers(exact) + parts, _numbers(loose) + parts


def _numbers(digests: Sequence[bytes]) -> UInt64:
    """The first 64 bits of SHA-256, which processors compute themselves."""
    words = np.frombuffer(b"".join(digests), dtype=">u8").reshape(len(digests), 4)
    return words[:, 0].astype(np.uint64)


def _answer_hash(answer: str | None) -> int:
    """32 bits, NO_ANSWER for none alone; answers are compared under one prompt."""
    if answer is None:
        return NO_ANSWER
    return crc32(answer.encode("utf-8", "surrogatepass")) or NO_ANSWER + 1
