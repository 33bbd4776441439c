"""The losses: transformers' own over all logits, TRL's fused head, and other kernels' allocations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from ftc.estimate.abstract import encoder, trainers
from ftc.estimate.abstract.segments import base_of
from ftc.estimate.step import Loss, TrainingStep
from ftc.runtime.classes import ClassLoss

Inputs = dict[str, torch.Tensor]
Criterion = Callable[[Any, Inputs], torch.Tensor]
IGNORED = -100


def inputs(step: TrainingStep, rows: int, length: int, device: str) -> Inputs:
    """A batch as the collator makes it: token ids and labels, then a mask of padding or positions."""
    if step.objective.kind in trainers.BATCHES:
        return trainers.BATCHES[step.objective.kind](step, rows, length, device)
    if step.objective.texts:
        return encoder.features(step, rows, length, device)
    ids = torch.zeros(rows, length, dtype=torch.long, device=device)
    batch = {"input_ids": ids, "labels": torch.zeros_like(ids)}
    if step.batch.packed:
        batch["position_ids"] = torch.zeros_like(ids)
    elif step.batch.padded:
        batch["attention_mask"] = torch.ones_like(ids)
        batch["attention_mask"][-1, length // 2 :] = 0
    return batch


def from_logits(model: Any, batch: Inputs) -> torch.Tensor:
    """The loss that the model itself computes."""
    loss: torch.Tensor = model(**batch, use_cache=False).loss
    return loss


def with_logits(model: Any, batch: Inputs) -> torch.Tensor:
    """The loss that the model itself computes, with the logits it returns, as long as the loss lives."""
    outputs = model(**batch, use_cache=False)
    loss: torch.Tensor = outputs.loss
    vars(loss)["logits"] = outputs.logits
    return loss


def from_trl(model: Any, batch: Inputs) -> torch.Tensor:
    """The loss of TRL's fused head, which makes logits in tiles."""
    out = model(**batch, use_cache=False, fused_lm_head=True)
    count = out.label_mask.sum()
    loss: torch.Tensor = (-out.log_probs).sum() / count.clamp(min=1)
    return loss


def sliced(how: Loss) -> Callable[..., torch.Tensor]:
    """The loss of earlier releases of transformers, which aligned logits with labels by a copy."""

    def loss(logits: torch.Tensor, labels: torch.Tensor, vocab_size: int, **_: Any) -> torch.Tensor:
        if how.upcast:
            logits = logits.float()
        if how.shift == "slice":
            logits = logits[..., :-1, :].contiguous()
            labels = labels[..., 1:].contiguous()
        else:
            labels = functional.pad(labels, (0, 1), value=IGNORED)[..., 1:].contiguous()
        return functional.cross_entropy(logits.view(-1, vocab_size), labels.view(-1))

    return loss


def _widened(_module: Any, _inputs: Any, out: Any) -> None:
    out.logits = out.logits.float()


@dataclass(frozen=True)
class ByTrainer:
    """The loss that is a method of TRL's trainer."""

    trainer: Any

    def __call__(self, _model: Any, batch: Inputs) -> torch.Tensor:
        """The loss of a batch as the trainer's collator makes it."""
        apart = getattr(
            self.trainer, "get_batch_loss_metrics", None
        )  # its compute_loss moves between devices
        model = self.trainer.model
        found: torch.Tensor = apart(model, batch)[0] if apart else self.trainer.compute_loss(model, batch)
        return found


def by_trainer(model: Any, step: TrainingStep, other: Any) -> ByTrainer:
    """The loss of TRL's trainer; logits that it sees are float32 where autocast runs."""
    if step.autocast and step.loss.kernel in ("preference", "divergence"):
        for each in (model, other):
            if each is not None:
                each.register_forward_hook(_widened)
    return ByTrainer(trainers.made(model, other, step))


def classifying(model: Any, batch: Inputs) -> torch.Tensor:
    """The loss of a classifier that the runtime has."""
    classes = batch.pop("classes")
    return ClassLoss()(model(**batch), classes)


def criterion(model: Any, step: TrainingStep, other: Any = None) -> Criterion:
    """The function that makes a loss of a batch, with the model changed as its kernel wants.

    `other` is a reference or a teacher.
    """
    if step.objective.kind == "classes":
        return classifying
    if step.objective.texts:
        return encoder.Compared(model, step)
    if step.objective.kind in trainers.BATCHES:
        return by_trainer(model, step, other)
    return _of_rows(model, step)


def _of_rows(model: Any, step: TrainingStep) -> Criterion:
    """The loss of plain rows."""
    how, base = step.loss, base_of(model)
    if how.kernel == "trl":
        from trl.trainer.utils import add_fused_lm_head

        add_fused_lm_head(base, outputs=("log_probs", "entropy", "is_top1"))
        return from_trl
    if not how.upcast or how.shift == "slice":
        base.loss_function = sliced(how)
    if how.early:
        base.get_output_embeddings().register_forward_hook(lambda _module, _inputs, out: out.float())
    return with_logits if how.keep_logits else from_logits
