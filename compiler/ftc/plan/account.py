"""The account of every row, as the plan has it: what was read, what was kept, what became of the rest."""

from __future__ import annotations

from typing import Literal

from ftc.recipe.base import Frozen

Fate = Literal[
    "invalid",
    "filtered",
    "sampled_out",
    "duplicate",
    "unmixed",
    "untrained",
    "unproved",
    "too_long",
    "unrolled",
    "redacted",
    "truncated",
    "split",
]
"""What became of a row, in the order in which it happens."""

STAYING: tuple[Fate, ...] = ("unrolled", "redacted", "truncated", "split")
"""Fates of rows that are kept, which the ledger lists all the same."""


class LedgerLine(Frozen):
    """Rows with one fate: `fate` in a word, `reason` in a sentence, the first row ids.

    `more` counts the examples that these rows became beyond one each (`split` and `unrolled` alone).
    """

    fate: Fate
    reason: str
    rows: int
    first_ids: tuple[str, ...]
    more: int = 0


class SourceRows(Frozen):
    """How many rows a source had."""

    name: str
    rows: int


class Ledger(Frozen):
    """The account of every row: read + more = what went + train + eval, nothing unexplained.

    `read` counts the rows of the traced source; where the query joins or groups, it counts the
    query's own rows and `sources` says what they were made of. With several queries it is their sum.
    Lines of the fates in `STAYING` are of rows that are kept; `train` and `eval` count compiled rows,
    which are more than the rows kept where rows were split or unrolled (`more` of those lines).
    """

    sources: tuple[SourceRows, ...]
    read: int
    lines: tuple[LedgerLine, ...]
    train: int
    eval: int

    @property
    def unexplained(self) -> int:
        """Rows without a fate; always 0, and verified."""
        return self.read + self.more - self.lost - self.train - self.eval

    @property
    def lost(self) -> int:
        """Rows that went."""
        return sum(line.rows for line in self.lines if line.fate not in STAYING)

    @property
    def more(self) -> int:
        """Compiled rows beyond one for each row, made by splitting and unrolling."""
        return sum(line.more for line in self.lines)
