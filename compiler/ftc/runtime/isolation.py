"""Proof, before the first step, that a packed row sees itself alone in the very model that trains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from ftc.runtime.collate import PackedCollator
from ftc.runtime.failure import BuildError
from ftc.runtime.rows import IGNORED
from ftc.runtime.sequences import MappedRows

if TYPE_CHECKING:
    from torch import Tensor

TOLERANCE = {"float32": 1e-3, "float16": 0.1, "bfloat16": 0.25}
"""How far a token's logits may be off (root mean square), in standard deviations of the row's logits.

The loss, summed, may be off by a tenth of this part of it. On SmolLM2-135M rounding moved logits by 2e-6 in
float32, 0.007 in float16 and 0.05 in bfloat16; the row before, by 1.8 at a row's first token.
"""

TOKENS = 256
"""Tokens of a row that are looked at: a leak shows in the first ones."""

AMONG = 4096
"""Rows of which two are chosen."""


def prove(model: Any, rows: MappedRows, dtype: str) -> None:
    """Raise BuildError unless two rows in one sequence get the logits and the loss they get alone."""
    chosen = _chosen(rows)
    if len(chosen) < 2:
        return
    collate = PackedCollator(rows)
    first, second = (_cut(collate.batch([row]), model) for row in chosen)
    with _still(model):
        alone = [_outcome(model, batch) for batch in (first, second)]
        together = _outcome(model, _joined([first, second, first]))
    logits, losses = zip(*alone, strict=True)
    packed, loss = together
    wanted = (*logits, logits[0])
    ends = list(accumulate(map(len, wanted)))
    off = max(_distance(part, packed[end - len(part) : end]) for part, end in zip(wanted, ends, strict=True))
    expected = 2 * losses[0] + losses[1]
    if not off <= TOLERANCE[dtype] or not abs(loss - expected) <= TOLERANCE[dtype] / 10 * (1 + expected):
        raise BuildError(
            "FTC712",
            f"packed rows see each other: in one sequence with another row the model's logits are off by "
            f"{off:.3g} standard deviations, and its loss is {loss:.4f} instead of {expected:.4f}",
            "write packing = false under [data]",
        )


def _chosen(rows: MappedRows) -> list[int]:
    """The two rows nearest to the wanted length; long ones are cut."""
    lengths = rows.lengths()[:AMONG].clip(max=TOKENS).tolist()
    return sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))[:2]


def _cut(batch: dict[str, Tensor], model: Any) -> dict[str, Tensor]:
    names = ("input_ids", "labels", "position_ids")
    return {name: batch[name][:, :TOKENS].to(model.device) for name in names}


def _joined(batches: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    import torch

    return {name: torch.cat([batch[name] for batch in batches], dim=1) for name in batches[0]}


@contextmanager
def _still(model: Any) -> Iterator[None]:
    """The model without dropout and without gradients, as it was before afterwards."""
    import torch

    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


def _outcome(model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, float]:
    """Logits of shape (tokens, vocabulary), and the sum of the loss over the trained tokens, in nats."""
    from torch.nn.functional import cross_entropy

    inputs = {name: batch[name] for name in ("input_ids", "position_ids")}
    logits = model(**inputs, use_cache=False).logits[0].float()
    loss = cross_entropy(logits[:-1], batch["labels"][0, 1:], ignore_index=IGNORED, reduction="sum")
    return logits, float(loss)


def _distance(alone: Tensor, packed: Tensor) -> float:
    """The largest distance of a token's logits, in standard deviations."""
    by_token = (alone - packed).pow(2).mean(dim=1).sqrt()
    return float(by_token.max() / alone.std())
