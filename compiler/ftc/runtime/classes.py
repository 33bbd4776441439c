"""Classes: the loss of a step's rows, the proof that each is trained on its own, and what is measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.runtime import score
from ftc.runtime.collate import class_of
from ftc.runtime.failure import BuildError
from ftc.runtime.ready import Ready
from ftc.runtime.rows import batches

if TYPE_CHECKING:
    from torch import Tensor

    from ftc.runtime.evaluate import Evaluator, Row


@dataclass(frozen=True)
class ClassLoss:
    """Cross-entropy of the rows' classes, as a mean over all rows of an optimizer step."""

    smoothing: float = 0.0

    def __call__(self, outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
        """The loss in nats of logits (rows, classes) and labels (rows), divided by the rows of the step."""
        from torch.nn.functional import cross_entropy

        logits = outputs.logits.float()
        whole: int | Any = len(labels) if num_items_in_batch is None else num_items_in_batch
        total = cross_entropy(logits, labels, reduction="sum", label_smoothing=self.smoothing)
        loss: Tensor = total / whole
        return loss


def prove(labels: list[int], rows: list[int], plan: Ready, data: Path) -> None:
    """Raise BuildError unless the first batch's classes are those of the shards' rows."""
    wanted, found, first = set(rows), dict[int, str](), 0
    for batch in batches(plan.data.train, data, ["carried"]):
        here = sorted(wanted & set(range(first, first + batch.num_rows)))
        found |= {row: class_of(batch.column("carried")[row - first].as_py()) for row in here}
        first += batch.num_rows
    fed = [plan.data.classes[label] for label in labels]
    changed = [row for row, name in zip(rows, fed, strict=True) if found[row] != name]
    if changed:
        raise BuildError("FTC703", f"the trainer changed the class of row {changed[0]} before training")


def measured(evaluator: Evaluator, model: Any, rows: list[Row]) -> None:
    """Each row's likeliest class, and the cross-entropy of its own in nats; made once for all metrics."""
    from torch.nn.functional import cross_entropy

    if rows and "label" in rows[0]:
        return
    held, names = evaluator.heldout, evaluator.plan.data.classes
    own = [names.index(class_of(carried or "")) for carried in held.carried]
    for batch in evaluator.in_turn(list(range(len(rows))), held.lengths, "classes"):
        logits = score.class_scores(model, [held.tokens(row) for row in batch], pad_id=evaluator.pad)
        losses = cross_entropy(
            logits, logits.new_tensor([own[row] for row in batch]).long(), reduction="none"
        )
        found = zip(batch, logits.argmax(dim=1).tolist(), losses.tolist(), strict=True)
        for row, likeliest, loss in found:
            rows[row] |= {"label": names[likeliest], "loss": loss, "tokens": 1}
