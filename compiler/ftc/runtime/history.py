"""What metrics.jsonl has recorded so far; all that training decides by it is a function of this alone."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self


@dataclass
class History:
    """The loss of each step, and the held-out loss wherever it was evaluated, both in order of steps."""

    losses: list[tuple[int, float]] = field(default_factory=list)
    held_out: list[tuple[int, float]] = field(default_factory=list)
    tokens: int = 0

    @classmethod
    def read(cls, path: Path) -> Self:
        """What a metrics.jsonl says; nothing where there is none."""
        found = cls()
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        for line in map(json.loads, lines):
            where = found.held_out if "eval_loss" in line else found.losses
            found.tokens += line.get("tokens", 0)
            where.append((line["step"], line["eval_loss" if "eval_loss" in line else "loss"]))
        return found

    @property
    def best(self) -> tuple[int, float] | None:
        """Step and loss of the lowest held-out loss, the first of equals; None where none was evaluated."""
        return min(self.held_out, key=lambda evaluated: evaluated[1], default=None)

    def evaluated(self, step: int) -> bool:
        """Whether the held-out loss after a step is known."""
        return any(step == other for other, _ in self.held_out)

    def stalled(self, patience: int | None, min_delta: float) -> bool:
        """Whether `patience` evaluations in a row were none better by more than `min_delta`."""
        if patience is None:
            return False
        lowest, waited = float("inf"), 0
        for _, loss in self.held_out:
            better = loss < lowest - min_delta
            lowest, waited = (loss, 0) if better else (lowest, waited + 1)
            if waited >= patience:
                return True
        return False
