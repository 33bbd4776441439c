"""The held-out loss while training: of tokens as `eval` defines it, or that of the trainer."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftc.plan.steps import WatchStep
from ftc.runtime import score, watch_rows
from ftc.runtime.heldout import Heldout, in_batches
from ftc.runtime.ready import Ready
from ftc.runtime.stop import Stop

OF_TOKENS = ("rows", "followed")
"""Batches of objectives whose loss is that of single tokens."""


@dataclass(frozen=True)
class Watch:
    """The held-out rows of a plan, ready to be put to a model that trains."""

    plan: Ready
    settings: WatchStep
    heldout: Heldout = field(repr=False)
    stop: Stop = field(repr=False)

    @classmethod
    def make(cls, plan: Ready, data: Path, stop: Stop) -> Watch | None:
        """The watch, or None where the plan has none."""
        if plan.train.watch is None or plan.data.eval is None:
            return None
        return cls(plan, plan.train.watch, Heldout.read(plan.data.eval, data), stop)

    def loss(self, model: Any, trainer: Any) -> tuple[float, int] | None:
        """Mean loss over the trained tokens of all rows, in nats, and how many these are.

        Of objectives that learn no single tokens it is the trainer's own loss, a mean over rows. The model is
        put back into the mode it was in. None where a stop was asked for meanwhile.
        """
        import torch

        training = model.training
        model.eval()
        try:
            with torch.no_grad():
                if self.plan.objective.batches not in OF_TOKENS:
                    return watch_rows.loss(trainer, self.heldout, self.settings, self.stop)
                found = self._rows(model)
        finally:
            model.train(training)
        if found is None:
            return None
        count = sum(tokens for _, tokens in found.values())
        return sum(found[row][0] for row in sorted(found)) / max(count, 1), count

    def _rows(self, model: Any) -> dict[int, tuple[float, int]] | None:
        """Loss and trained tokens of each row."""
        held, found = self.heldout, dict[int, tuple[float, int]]()
        for batch in self._batches():
            if self.stop.asked:
                return None
            tokens, masks = [held.tokens(row) for row in batch], [held.mask(row) for row in batch]
            losses = score.row_losses(model, tokens, masks, pad_id=self.plan.tokenizer.pad_id)
            found.update(zip(batch, losses, strict=True))
        return found

    def _batches(self) -> list[list[int]]:
        """Row numbers in batches of like lengths, the shortest first."""
        lengths, vocabulary = self.heldout.lengths, self.plan.model.vocabulary
        return in_batches(list(range(len(lengths))), lengths, size=self.settings.batch, vocabulary=vocabulary)
