"""Rows for the lints without a compiler: words are tokens, and a side for each row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir
from typing import Any
from zlib import crc32

import numpy as np

from ftc.lints import LintResult, describe
from ftc.lints.collector import Collector
from ftc.lints.evidence import EVAL, TRAIN, ShownRow, TokenRows
from ftc.lints.features import RowLints
from ftc.lints.row import Row
from ftc.lints.spec import LintSpec


def tokens(text: str) -> list[int]:
    return [crc32(word.encode()) % 50_000 for word in text.split()]


@dataclass
class Rows:
    """Rows as prompt and answer (None: a document), by their order; `held_out` are on the other side."""

    pairs: Sequence[tuple[str, str | None]]
    held_out: frozenset[int] = frozenset()
    values: Sequence[tuple[Any, ...]] | None = None
    spec: LintSpec = field(default_factory=LintSpec)
    groups_by_id: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = self.values or [tuple(one for one in pair if one is not None) for pair in self.pairs]
        self.rows = [
            Row(f"r:{number}", asked, answer, values)
            for number, ((asked, answer), values) in enumerate(zip(self.pairs, given, strict=True), 1)
        ]
        self.tokens = [tokens(f"{asked} {answer or ''}") for asked, answer in self.pairs]
        self.prompts = [-1 if answer is None else len(tokens(asked)) for asked, answer in self.pairs]
        self.sides = [EVAL if number in self.held_out else TRAIN for number in range(len(self.rows))]

    def side(self, side: int) -> list[int]:
        return [number for number, one in enumerate(self.sides) if one == side]

    def token_rows(self, side: int) -> Iterator[TokenRows]:
        numbers = self.side(side)
        for start in range(0, len(numbers), 7):
            some = numbers[start : start + 7]
            yield TokenRows(
                np.array([token for number in some for token in self.tokens[number]], dtype=np.int32),
                np.concatenate([[0], np.cumsum([len(self.tokens[number]) for number in some])]),
                np.array([self.prompts[number] for number in some], dtype=np.int32),
            )

    def shown(self, side: int, places: Sequence[int]) -> dict[int, ShownRow]:
        numbers = self.side(side)
        return {place: self._shown(numbers[place]) for place in places}

    def _shown(self, number: int) -> ShownRow:
        row = self.rows[number]
        return ShownRow(row.id, row.asked, row.answer)

    def groups(self, ids: Sequence[str]) -> dict[str, str]:
        return {id_: self.groups_by_id[id_] for id_ in ids if id_ in self.groups_by_id}

    def results(self, batch: int = 1000) -> dict[str, LintResult]:
        """What all lints find, by name, with rows looked at some at a time."""
        look, collector = RowLints(self.spec), Collector(Path(gettempdir()))
        for start in range(0, len(self.rows), batch):
            stop = min(start + batch, len(self.rows))
            collector.add(
                look.look(self.rows[start:stop]),
                sides=np.array(self.sides[start:stop], dtype=np.uint8),
                lengths=np.array([len(one) for one in self.tokens[start:stop]], dtype=np.int64),
                targets=[row.answer for row in self.rows[start:stop]],
            )
        found = {result.lint: result for result in collector.close(self)}
        for result in found.values():
            if result.rows:
                assert describe(result).message
        return found

    def ids(self, lint: str) -> list[str]:
        """The first ids that a lint names."""
        found = self.results().get(lint)
        return [hit.id for hit in found.first] if found else []
