"""A whole training step, phase by phase, on tensors without values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch

from ftc.estimate.abstract import encoder, heldout, sampling
from ftc.estimate.abstract import optimizer as optimizers
from ftc.estimate.abstract.attention import EAGER, PLAIN, implementation
from ftc.estimate.abstract.autocast import Autocast
from ftc.estimate.abstract.loss import ByTrainer, criterion, inputs
from ftc.estimate.abstract.model import dtype, loaded, models, name_weights, prepared, scorers, skeleton
from ftc.estimate.abstract.patches import Shown, abstract
from ftc.estimate.abstract.quantise import name_scales
from ftc.estimate.abstract.scratch import BACKENDS
from ftc.estimate.abstract.segments import base_of, mark_layers, mark_loss
from ftc.estimate.abstract.tracker import Tracker
from ftc.estimate.step import Evaluation, TrainingStep
from ftc.runtime.unfreeze import layers

Backend = Literal["cuda", "cpu"]
ROUNDING: dict[str, int] = {"cuda": 512, "cpu": 1}
"""Bytes to a multiple of which the backend's allocator rounds (kMinBlockSize of CUDACachingAllocator)."""


@dataclass(frozen=True)
class Around:
    """What changes around the model while it runs: autocast, and what libraries find in its batch."""

    autocast: Autocast
    shown: Shown


class Run:
    """The step's model, optimizer and loss under one tracker."""

    def __init__(
        self, step: TrainingStep, bases: list[Any], tracker: Tracker, around: Around, backend: Backend
    ):
        self.step = step
        self.backend = backend
        self.tracker = tracker
        self.autocast, self.shown = around.autocast, around.shown
        for base in bases:
            name_weights(base, tracker)
            loaded(base, step)
        if step.evaluation is not None and step.evaluation.positions is not None:
            self.model: Any = bases[0]
            self.held_out(step.evaluation, trained=False)
        tracker.begin("load/adapt")
        self.model = prepared(bases[0], step)
        mark_layers(layers(base_of(self.model)), tracker)
        self.criterion = criterion(self.model, step, *bases[1:])
        for model, name in zip((self.model, *bases[1:]), ("model", "reference"), strict=False):
            name_weights(model, tracker)
            name_scales(model, tracker)
            mark_loss(model, tracker, name)
        self.trained = [
            parameter
            for name, parameter in self.model.named_parameters()
            if parameter.requires_grad and (encoder.trains(name) or not step.objective.texts)
        ]
        tracker.trained = sum(parameter.numel() for parameter in self.trained)
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

    def sample(self) -> None:
        """Answers written by the model, and what reads them before it is trained on them."""
        objective, casts = self.step.objective, self.autocast.dtype
        if not objective.generations or not isinstance(self.criterion, ByTrainer):
            return
        trainer = self.criterion.trainer
        self.autocast.backward = False
        if self.step.tuning.adapts:  # adapters' generate calls the model under accelerate's wrapper
            self.autocast.dtype = None
        with torch.no_grad(), sampling.plain(self.model, self.step):
            with heldout.widened(self.model, widen=self.autocast.dtype is not None):
                sampling.written(trainer, objective, self.tracker.begin)
            self.autocast.leave_forward()
            self.autocast.dtype = casts
            self.tracker.begin("generation/scores")
            sampling.scored(trainer, self.step, self.tracker.device)
        self.tracker.scope = None
        self.autocast.leave_forward()

    def score(self, scorers: list[Any], steps: list[TrainingStep]) -> None:
        """Sampled answers read by reward models, some at a time."""
        self.autocast.backward = False
        casts, self.autocast.dtype = self.autocast.dtype, None
        for scorer, step in zip(scorers, steps, strict=True):
            name_weights(scorer, self.tracker)
            self.tracker.begin("generation/rewards")
            how = Evaluation(rows=step.batch.rows, length=step.batch.length, padded=step.batch.padded)
            with torch.no_grad():
                heldout.losses(scorer, how)
        self.autocast.dtype = casts

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
        """Batches of held-out rows, as the runtime puts them to the base and to the trained model."""
        name = f"evaluation/{'after' if trained else 'before'}"
        with self._evaluating(how, trained=trained), torch.no_grad():
            if self.step.objective.texts:
                self.tracker.begin(f"{name} texts")
                encoder.read(self.model, how)
            elif how.positions:
                self.tracker.begin(f"{name} losses")
                heldout.losses(self.model, how)
            if how.generated:
                heldout.answers(self.model, how, lambda part: self.tracker.begin(_part(name, part)))
            if how.labels:
                self.tracker.begin(f"{name} labels")
                heldout.labels(self.model, how)
            self.tracker.begin("unseen")
        self.autocast.leave_forward()

    @contextmanager
    def _evaluating(self, how: Evaluation, *, trained: bool) -> Iterator[None]:
        """Within, the model evaluates: without dropout, with its kernel and, before training, no autocast."""
        self.autocast.backward = False
        casts, self.autocast.dtype = self.autocast.dtype, self.autocast.dtype if trained else None
        padded, self.shown.padded = self.shown.padded, how.padded
        packed, self.shown.packed = self.shown.packed, False
        config = base_of(self.model).config
        kept, variant = config._attn_implementation, how.attention or self.step.attention  # noqa: SLF001
        if kept not in (EAGER, PLAIN):
            config._attn_implementation = implementation(  # noqa: SLF001
                self.step.model_copy(update={"attention": variant}), self.backend
            )
        self.model.eval()
        with heldout.widened(self.model, widen=self.autocast.dtype is not None):
            yield
        self.model.train()
        config._attn_implementation = kept  # noqa: SLF001
        self.shown.padded, self.shown.packed, self.autocast.dtype = padded, packed, casts


def losses_of(how: Evaluation) -> Evaluation:
    """The losses alone, which are all that is evaluated between two steps."""
    return how.model_copy(update={"generated": None, "labels": None})


def _part(name: str, part: str) -> str:
    return part if part == "unseen" else f"{name} {part}"


def run(step: TrainingStep, backend: Backend = "cuda") -> Tracker:
    """Run the step; the tracker then holds the peaks of its segments."""
    tokens = step.sequences * step.batch.length
    chosen = (step.batch.trained or tokens) / tokens
    tracker = Tracker(rounding=ROUNDING[backend], scratch=BACKENDS[backend], chosen=chosen)
    autocast = Autocast(dtype(step.autocast) if step.autocast else None)
    around = Around(autocast, Shown(step.batch.padded, bool(step.batch.packed)))
    bases = [skeleton(each, device=tracker.device, backend=backend) for each in models(step)]
    others = [skeleton(each, device=tracker.device, backend=backend).eval() for each in scorers(step)]
    with tracker, abstract(step, backend, autocast, around.shown):
        training = Run(step, bases, tracker, around, backend)
        runtimes = step.evaluation is not None and step.evaluation.positions is not None
        if step.evaluation is not None and step.evaluation.positions is not None:
            training.held_out(step.evaluation, trained=True)
        training.fill_states()
        training.sample()
        training.score(others, scorers(step))
        training.micro_batch()
        training.update()
        if step.evaluation is not None and step.evaluation.watched and step.evaluation.positions:
            training.held_out(losses_of(step.evaluation), trained=True)
        if step.evaluation is not None and not runtimes:
            training.evaluate(step.evaluation)
        tracker.begin("save")
    return tracker
