"""The held-out loss of objectives that learn no single tokens: their trainer's, on the held-out rows."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from ftc.plan.steps import WatchStep
from ftc.runtime.collate import UNSEEN
from ftc.runtime.heldout import Heldout
from ftc.runtime.rows import IGNORED
from ftc.runtime.stop import Stop

KEPT = ("_metrics", "_stored_metrics")
"""Where TRL's trainers gather the figures of a step, to which held-out rows do not belong."""


def loss(trainer: Any, heldout: Heldout, settings: WatchStep, stop: Stop) -> tuple[float, int] | None:
    """The mean of the trainer's loss over the rows, and how many these are; None where a stop was asked for.

    KTO estimates its drift from the other rows of a batch, so no batch has one row alone.
    """
    kept = {name: deepcopy(getattr(trainer, name)) for name in KEPT if hasattr(trainer, name)}
    kind, total = trainer.session.plan.objective.batches, 0.0
    for numbers in batches(len(heldout.ids), settings.batch):
        if stop.asked:
            return None
        batch = trainer.data_collator([example(heldout, number) for number in numbers])
        for name in UNSEEN[kind]:
            del batch[name]
        found = trainer.compute_loss(trainer.model, trainer._prepare_inputs(batch))  # noqa: SLF001
        total += float(found) * len(numbers)
    for name, value in kept.items():
        setattr(trainer, name, value)
    return total / len(heldout.ids), len(heldout.ids)


def batches(rows: int, size: int) -> Iterator[list[int]]:
    """Row numbers in order, `size` at a time, of which no batch but a single row's has fewer than two."""
    starts = list(range(0, rows, max(2, size)))
    if len(starts) > 1 and rows - starts[-1] == 1:
        starts.pop()
    for start, end in zip(starts, [*starts[1:], rows], strict=True):
        yield list(range(start, end))


def example(heldout: Heldout, number: int) -> dict[str, Any]:
    """A held-out row as the trainer's collator takes the training rows."""
    row = heldout.table.slice(number, 1).to_pylist()[0]
    labels = [token if kept else IGNORED for token, kept in zip(row["input_ids"], row["mask"], strict=True)]
    more = {name: row[name] for name in ("lengths", "carried") if name in row}
    return {"row": number, "input_ids": row["input_ids"], "labels": [IGNORED, *labels[1:]], **more}
