"""What the lints of single rows saw: counted by kind, with the first rows of each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ftc.lints.base import FIRST, Hit
from ftc.lints.kinds import excerpt
from ftc.lints.row import Row, Sighting


@dataclass(slots=True)
class Seen:
    """Rows in which a lint saw something: how many, how many of each kind, the first of each kind."""

    rows: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    first: dict[str, list[Hit]] = field(default_factory=dict)

    def add(self, row: Row, sighting: Sighting) -> None:
        """Count a row. Only one that may be shown has its excerpt made."""
        self.rows += 1
        hit = None
        for kind in sighting.kinds:
            before = self.kinds.get(kind, 0)
            self.kinds[kind] = before + 1
            if before < FIRST:
                hit = hit or Hit(id=row.id, excerpt=excerpt(sighting.text, sighting.start, sighting.end))
                self.first.setdefault(kind, []).append(hit)

    def merge(self, later: Seen) -> None:
        """Count the rows of a later batch."""
        self.rows += later.rows
        self.kinds.update(later.kinds)
        for kind, hits in later.first.items():
            known = self.first.setdefault(kind, [])
            known += hits[: FIRST - len(known)]

    def examples(self, kinds: tuple[str, ...] | None = None) -> tuple[Hit, ...]:
        """The first rows, of some kinds or of all, taking the kinds in turn."""
        lists = [hits for kind, hits in sorted(self.first.items()) if kinds is None or kind in kinds]
        turns = (hits[turn] for turn in range(FIRST) for hits in lists if turn < len(hits))
        return tuple(dict.fromkeys(turns))[:FIRST]
