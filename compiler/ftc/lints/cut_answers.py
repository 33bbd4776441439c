"""Answers that end before their end: in the middle of a sentence, or many at exactly one length."""

from __future__ import annotations

import numpy as np

from ftc.lints.base import LintResult, Said, percent
from ftc.lints.evidence import TRAIN, Evidence, Int32, Int64
from ftc.lints.features import Look
from ftc.lints.row import Row, Sighting
from ftc.lints.spec import LintSpec

LONG = 40
"""Characters from which an answer is taken for sentences; labels, names and numbers end as they like."""

MOSTLY = 0.9
"""Share of long answers that must end like sentences before one that does not is worth a thought.

Of real data, 96 to 100 % do in dialogues and questions and answers, 0 to 20 % in code and in mails.
"""

SOME = 0.01
"""Share of answers without an end from which they are worth a word by themselves.

Of answers that people wrote, half a per cent lack the full stop for no reason.
"""

SPIKE_LENGTH, SPIKE_ROWS, SPIKE_SHARE, SPIKE_HEIGHT = 100, 5, 0.005, 10
"""A length in characters at which answers were cut: none is longer, so many rows share it, so many times
the rows of the lengths just below it. In real data no length above 100 is shared by ten times as many."""

SPIKE_ABOVE = 0.8
"""Half of the answers are shorter than this part of the greatest length: where all are about as long, as
texts from one template are, some length is bound to be the commonest."""

WHOLE = Sighting(("whole",), "", 0, 0)

_AFTER = "\"'”’»)]}*_`~> "
_ENDS = frozenset(".!?…。！？؟।:;")
_OPEN = frozenset(",-–—(")


def looker(spec: LintSpec) -> Look:
    """Tells, of long answers, whether they end as a sentence does, or as the middle of one."""
    del spec
    return _look


def _look(row: Row) -> Sighting | None:
    text = row.learned.rstrip()
    if len(text) < LONG:
        return None
    last = text.rstrip(_AFTER)[-1:]
    if last in _ENDS:
        return WHOLE
    if last in _OPEN or (last.isalnum() and text[-1] == last and " " in text):
        return Sighting(("open",), text, len(text) - LONG, len(text))
    return None


def judge(evidence: Evidence) -> LintResult | None:
    """Counts answers without an end where most have one, and those that share the greatest length."""
    seen = evidence.seen["cut_answers"]
    whole, open_ = seen.kinds["whole"], seen.kinds["open"]
    unended = open_ if open_ and whole >= MOSTLY * (whole + open_) else 0
    length, rows = _spike(evidence)
    if not unended and not len(rows):
        return None
    first = seen.examples(("open",)) if unended else ()
    if len(rows):
        first = evidence.hits([(row, None) for row in rows.tolist()], answers=True)
    return LintResult(
        lint="cut_answers",
        rows=max(unended, len(rows)),
        looked_at=evidence.rows,
        notable=bool(len(rows)) or unended >= max(3, SOME * (whole + open_)),
        first=first,
        facts={
            "unended": unended,
            "ended": percent(whole / (whole + open_)) if unended else "",
            "at_length": len(rows),
            "length": length,
        },
    )


def _spike(evidence: Evidence) -> tuple[int, Int64]:
    """The greatest length of an answer in characters and its training rows, if it is where they were cut."""
    numbers = evidence.side(TRAIN)
    lengths: Int32 = evidence.characters[numbers]
    longest = int(lengths.max()) if len(lengths) else 0
    at = numbers[lengths == longest]
    enough = longest >= SPIKE_LENGTH and len(at) >= max(SPIKE_ROWS, SPIKE_SHARE * len(numbers))
    enough = enough and float(np.median(lengths)) < SPIKE_ABOVE * longest
    distinct = len(
        np.unique(np.stack([evidence.asked[at], evidence.answers[at].astype(np.uint64)]), axis=1).T
    )
    if not enough or distinct < SPIKE_ROWS:
        return 0, numbers[:0]
    near = int(((lengths > SPIKE_ABOVE * longest) & (lengths < longest)).sum())
    usual = near / ((1 - SPIKE_ABOVE) * longest)
    return (longest, at) if len(at) >= SPIKE_HEIGHT * usual else (0, numbers[:0])


def describe(result: LintResult) -> Said:
    """The result in words."""
    unended, at, length = (int(result.figure(name)) for name in ("unended", "at_length", "length"))
    notes = []
    if unended:
        share = result.word("ended")
        notes.append(
            f"in the middle of a sentence, where {share} of the long ones end as one does: {unended:,}"
        )
    if at:
        notes.append(f"exactly {length:,} characters long, and none is longer: {at:,}")
    rows = "one answer seems" if result.rows == 1 else f"{result.rows:,} answers seem"
    return Said(
        f"{rows} to be cut off at the end",
        ("take the whole texts, or leave these rows out in the query",),
        (*notes, "the model learns to stop in the middle"),
    )
