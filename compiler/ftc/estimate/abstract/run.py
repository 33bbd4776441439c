"""A whole training step, phase by phase, on tensors without values."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch.nn import functional

from ftc.estimate.abstract import optimizer as optimizers
from ftc.estimate.abstract.attention import implementation
from ftc.estimate.abstract.autocast import Autocast
from ftc.estimate.abstract.loss import criterion, inputs
from ftc.estimate.abstract.model import dtype, loaded, name_weights, prepared, skeleton
from ftc.estimate.abstract.patches import abstract
from ftc.estimate.abstract.quantise import name_scales
from ftc.estimate.abstract.scratch import BACKENDS
from ftc.estimate.abstract.segments import base_of, mark_layers, mark_loss
from ftc.estimate.abstract.tracker import Tracker
from ftc.estimate.step import Evaluation, TrainingStep
from ftc.runtime.unfreeze import layers

Backend = Literal["cuda", "cpu"]
ROUNDING: dict[str, int] = {"cuda": 512, "cpu": 1}
"""Bytes to a multiple of which the backend's allocator rounds (kMinBlockSize of CUDACachingAllocator)."""


class Run:
    """The step's model, optimizer and loss under one tracker."""

    def __init__(
        self, step: TrainingStep, bases: list[Any], tracker: Tracker, autocast: Autocast, backend: Backend
    ):
        self.step = step
        self.backend = backend
        self.tracker = tracker
        self.autocast = autocast
        for base in bases:
            name_weights(base, tracker)
            loaded(base, step)
        if step.evaluation is not None and step.evaluation.positions:
            self.model: Any = bases[0]
            self.held_out(step.evaluation, trained=False)
        tracker.begin("load/adapt")
        self.model = prepared(bases[0], step)
        mark_layers(layers(self.model), tracker)
        self.criterion = criterion(self.model, step, *bases[1:])
        for model, name in zip((self.model, *bases[1:]), ("model", "reference"), strict=False):
            name_weights(model, tracker)
            name_scales(model, tracker)
            mark_loss(model, tracker, name)
        self.trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        if step.optimizer.wide_embedding:
            optimizers.widen(self.model)
        self.optimizer = optimizers.make(step.optimizer, self.trained)
        for parameter in self.trained:
            parameter.register_post_accumulate_grad_hook(self._made)

    def _made(self, parameter: torch.Tensor) -> None:
        if parameter.grad is not None:
            self.tracker.label(parameter.grad, "gradients")

    def _fill_gradients(self) -> None:
        for parameter in self.trained:
            parameter.grad = torch.empty_like(parameter)
            self._made(parameter)

    def fill_states(self) -> None:
        """Let the optimizer make its states, as a first step would."""
        self.tracker.begin("first")
        self._fill_gradients()
        optimizers.advance(self.optimizer, self.step.optimizer)
        optimizers.name_states(self.optimizer, self.tracker)

    def micro_batch(self) -> None:
        """One micro-batch forward and back."""
        if self.step.batch.accumulated:
            self._fill_gradients()
        self.tracker.begin("forward")
        self.autocast.backward = False
        batch = inputs(self.step, self.step.batch.rows, self.step.batch.length, self.tracker.device)
        loss = self.criterion(self.model, batch)
        self.autocast.leave_forward()
        self.tracker.settle("temporaries", "activations")
        self.tracker.begin("backward/loss")
        self.autocast.backward = True
        loss.backward()  # type: ignore[no-untyped-call]

    def update(self) -> None:
        """The optimizer's step."""
        if self.step.optimizer.clip:
            self.tracker.begin("optimizer/clip")
            optimizers.clip(self.trained)
        self.tracker.begin("optimizer/step")
        optimizers.advance(self.optimizer, self.step.optimizer)

    def evaluate(self, how: Evaluation) -> None:
        """A batch of the evaluation, forward only."""
        self.tracker.begin("evaluation")
        self.autocast.backward = False
        batch = inputs(self.step, how.rows, how.length, self.tracker.device)
        self.model.eval()
        with torch.no_grad():
            self.criterion(self.model, batch)
        self.tracker.scope = None
        self.model.train()

    def held_out(self, how: Evaluation, *, trained: bool) -> None:
        """A batch of held-out rows, as the runtime puts it to the base and the trained model (`score.py`)."""
        self.tracker.begin(f"evaluation/{'after' if trained else 'before'}")
        self.autocast.backward = False
        casts, self.autocast.dtype = self.autocast.dtype, self.autocast.dtype if trained else None
        self.model.eval()
        config = base_of(self.model).config
        kept, variant = config._attn_implementation, how.attention or self.step.attention  # noqa: SLF001
        config._attn_implementation = implementation(  # noqa: SLF001
            self.step.model_copy(update={"attention": variant}), self.backend
        )
        with torch.no_grad():
            self.tracker.scope = "logits"
            row_losses(self.model, how, self.tracker.device, widen=self.autocast.dtype is not None)
        self.tracker.scope = None
        config._attn_implementation = kept  # noqa: SLF001
        self.autocast.leave_forward()
        self.autocast.dtype = casts
        self.model.train()


def row_losses(model: Any, how: Evaluation, device: str, *, widen: bool) -> None:
    """The losses of rows of which `how.positions` tokens carry loss; `widen` converts the model's output."""
    ids = torch.zeros(how.rows, how.length, dtype=torch.long, device=device)
    mask = torch.ones_like(ids)
    if how.padded:
        mask[-1, how.length // 2 :] = 0
    columns = torch.arange(how.positions or 1, device=device)
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=columns).logits
    logits = logits.float() if widen else logits
    wanted = torch.zeros(how.rows, len(columns), dtype=torch.long, device=device)
    functional.cross_entropy(logits.float().transpose(1, 2), wanted, reduction="none")


def run(step: TrainingStep, backend: Backend = "cuda") -> Tracker:
    """Run the step; the tracker then holds the peaks of its segments."""
    chosen = (step.batch.trained or step.batch.tokens) / step.batch.tokens
    tracker = Tracker(rounding=ROUNDING[backend], scratch=BACKENDS[backend], chosen=chosen)
    autocast = Autocast(dtype(step.autocast) if step.autocast else None)
    count = 1 + (step.objective.reference == "model")
    bases = [skeleton(step, device=tracker.device, backend=backend) for _ in range(count)]
    with tracker, abstract(step, backend, autocast):
        training = Run(step, bases, tracker, autocast, backend)
        runtimes = step.evaluation is not None and step.evaluation.positions is not None
        if step.evaluation is not None and step.evaluation.positions:
            training.held_out(step.evaluation, trained=True)
        training.fill_states()
        training.micro_batch()
        training.update()
        if step.evaluation is not None and step.evaluation.watched and step.evaluation.positions:
            training.held_out(step.evaluation, trained=True)
        if step.evaluation is not None and not runtimes:
            training.evaluate(step.evaluation)
        tracker.begin("save")
    return tracker
