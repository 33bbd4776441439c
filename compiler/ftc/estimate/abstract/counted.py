"""What a step computes, counted while it runs abstractly: for each token, pair of tokens and position.

Three lengths tell the parts apart: what grows with the square of a row's length is attention's, what grows
with the length is of each token, and what is left is made of the weights alone, in every pass anew.
"""

from __future__ import annotations

from typing import Any

import torch

from ftc.estimate.abstract.autocast import Autocast
from ftc.estimate.abstract.depth import depth, depths, known, shallow, stated
from ftc.estimate.abstract.expressible import refuse
from ftc.estimate.abstract.model import skeleton
from ftc.estimate.abstract.patches import Shown, abstract
from ftc.estimate.abstract.run import Backend, run
from ftc.estimate.abstract.tracker import Tracker
from ftc.estimate.fallback import Counts, Products
from ftc.estimate.step import Batch, Loss, Objective, TrainingStep

LENGTH = 128
"""Tokens of the shortest row; the others have two and four times as many."""

KEPT = ("weights", "quantisation", "adapters")
PARTS = ("forward", "backward", "recomputation")
Found = dict[str, float]


def counted(step: TrainingStep, backend: Backend) -> Counts:
    """The operations of a step, whose batch is left aside, and what a pass reads and leaves.

    Raises InexpressibleError for a step which has something that no run here has.
    """
    refuse(step, backend)
    step = _plain(step)
    whole, two = depth(step.config), depths(step)
    if two is None:
        found = _of(step, backend)
    else:
        few, more = (_of(_cut(step, layers), backend) for layers in two)
        times = (whole - two[1]) / (two[1] - two[0])
        found = {name: more[name] + (more[name] - few[name]) * times for name in more}
    parts = [
        Products(**{kind: max(0.0, found[f"{part} {kind}"]) for kind in Products.model_fields})
        for part in PARTS
    ]
    return Counts(
        forward=parts[0],
        backward=parts[1],
        recomputation=parts[2],
        weights=found["weights"],
        base=found["base"],
        trained=found["trained"],
        cache=found["cache"],
        layers=whole,
        hidden=int(known(step.config).hidden_size),
    )


def _cut(step: TrainingStep, layers: int) -> TrainingStep:
    return step.model_copy(update={"config": shallow(step.config, layers)})


def _plain(step: TrainingStep) -> TrainingStep:
    """The step with the loss of plain rows, or of embeddings, as nothing else tells of its layers."""
    objective, loss = Objective(), Loss()
    if step.objective.texts:
        objective, loss = Objective(kind="embedding", texts=2), Loss(kernel="in_batch")
    changes = {"objective": objective, "loss": loss, "evaluation": None, "config": stated(step.config)}
    return step.model_copy(update=changes)


def _of(step: TrainingStep, backend: Backend) -> Found:
    """Everything of one model, as plain numbers."""
    lengths = [LENGTH, 2 * LENGTH, 4 * LENGTH]
    runs = [
        run(step.model_copy(update={"batch": Batch(rows=1, length=length)}), backend) for length in lengths
    ]
    found: Found = {}
    texts = step.objective.texts or 1
    for part in PARTS:
        one, two, four = (each.products.get(part, 0.0) / texts for each in runs)
        pair = (four - 3 * two + 2 * one) / (6 * LENGTH**2)
        found[f"{part} pair"] = pair
        among = 3 * LENGTH**2 + 2 * LENGTH * step.tuning.virtual  # pairs that the longer row has more
        found[f"{part} token"] = (two - one - among * pair) / LENGTH
        ends = [each.products.get(f"{part} head", 0.0) for each in runs]
        found[f"{part} position"] = 0.0 if step.objective.texts else (ends[1] - ends[0]) / LENGTH
    held = runs[0].at("save")
    found["weights"] = float(sum(held.get(name, 0) for name in KEPT))
    found["base"] = float(held.get("weights", 0))
    found["trained"] = float(runs[0].trained)
    return found | _left(step, backend)


def _left(step: TrainingStep, backend: Backend) -> Found:
    """Bytes of keys and values that a token leaves behind."""
    if step.objective.texts:
        return {"cache": 0.0}
    tracker = Tracker()
    model: Any = skeleton(
        step.model_copy(update={"quantisation": None}), device=tracker.device, backend=backend
    )
    shown = Shown(padded=False, packed=False)
    sizes = []
    with tracker, abstract(step, backend, Autocast(None), shown), torch.no_grad():
        for length in (LENGTH, LENGTH, 2 * LENGTH):  # weights come into view in the first pass
            ids = torch.zeros(1, length, dtype=torch.long, device=tracker.device)
            before = tracker.allocated
            left = getattr(model(input_ids=ids, use_cache=True), "past_key_values", None)
            sizes.append(tracker.allocated - before)
            del left
    return {"cache": max(0, sizes[2] - sizes[1]) / LENGTH}
