"""Gathers what the lints need of all rows, in order, and judges at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ftc.lints import LINTS, module
from ftc.lints.base import LintResult
from ftc.lints.evidence import TRAIN, Evidence, Reader, UInt8
from ftc.lints.features import Features
from ftc.lints.on_disk import GrowingColumn
from ftc.lints.seen import Seen

MOST_LABELS = 64
"""Different answers that may be a closed set."""


class Collector:
    """Columns of all rows, 29 bytes a row in `directory`, and what was seen in single ones."""

    def __init__(self, directory: Path) -> None:
        self._sides = GrowingColumn(directory, np.uint8)
        self._asked, self._loose = GrowingColumn(directory, np.uint64), GrowingColumn(directory, np.uint64)
        self._answers = GrowingColumn(directory, np.uint32)
        self._tokens, self._characters = (
            GrowingColumn(directory, np.int32),
            GrowingColumn(directory, np.int32),
        )
        self._seen: dict[str, Seen] = {}
        self._labels: Counter[str] | None = Counter()

    def add(
        self, features: Features, *, sides: UInt8, lengths: NDArray[np.int64], targets: Sequence[str | None]
    ) -> None:
        """Rows that are kept, with their sides, their lengths in tokens, and their answers."""
        self._sides.add(sides)
        self._asked.add(features.asked)
        self._loose.add(features.loose)
        self._answers.add(features.answers)
        self._tokens.add(lengths)
        self._characters.add(features.characters)
        for name, seen in features.seen.items():
            self._seen.setdefault(name, Seen()).merge(seen)
        if self._labels is not None:
            self._count(
                [target for target, side in zip(targets, sides.tolist(), strict=True) if side == TRAIN]
            )

    def _count(self, targets: Sequence[str | None]) -> None:
        assert self._labels is not None  # noqa: S101 - asked for by `add`
        answers = [target for target in targets if target is not None]
        self._labels.update(answers)
        if len(answers) < len(targets) or len(self._labels) > MOST_LABELS:
            self._labels = None

    def close(self, reader: Reader) -> tuple[LintResult, ...]:
        """The results of all lints that found something, or could not look, in the order of the table."""
        evidence = self._evidence(reader)
        found = []
        for name in LINTS:
            judge = getattr(module(name), "judge", None) if name != "small_eval" else None
            result = judge(evidence) if judge is not None and evidence.rows else None
            if result is not None:
                found.append(result)
        return tuple(found)

    def _evidence(self, reader: Reader) -> Evidence:
        labels = self._labels
        closed = labels if labels and min(labels.values()) > 1 else None
        return Evidence(
            sides=self._sides.read(),
            asked=self._asked.read(),
            loose=self._loose.read(),
            answers=self._answers.read(),
            tokens=self._tokens.read(),
            characters=self._characters.read(),
            labels=closed,
            seen={name: self._seen.get(name, Seen()) for name in LINTS},
            reader=reader,
        )
