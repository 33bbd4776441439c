"""Answers that a trainer samples, run by the model's own generate, and what reads them before training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import torch

from ftc.estimate.abstract.segments import base_of
from ftc.estimate.step import Objective, TrainingStep

Begin = Callable[[str], None]


@contextmanager
def plain(model: Any, step: TrainingStep) -> Iterator[None]:
    """Within, the model computes without checkpointing, as trainers have it while they sample."""
    base = base_of(model)
    if step.checkpointing == "none":
        yield
        return
    base.gradient_checkpointing_disable()
    yield
    base.gradient_checkpointing_enable({"use_reentrant": step.checkpointing == "reentrant"})


def written(trainer: Any, how: Objective, begin: Begin) -> None:
    """Prompts read, and the last token drawn: what the cache is by then follows from no value."""
    prompt, count = how.prompt or 1, how.completion or 1
    rows, device = how.generations or 1, next(trainer.model.parameters()).device
    begin("generation/prompts")
    _drawn(trainer, rows, prompt, 1, device)
    if count < 2:
        return
    begin("unseen")
    inner, calls = base_of(trainer.model).base_model, iter(("unseen", "generation/answers"))
    handle = inner.register_forward_pre_hook(lambda *_: begin(next(calls)))
    trainer.generation_config.use_cache = how.cached
    _drawn(trainer, rows, prompt + count - 2, 2, device)
    handle.remove()


def _drawn(trainer: Any, rows: int, prompt: int, count: int, device: torch.device) -> None:
    left = iter([True] * count)
    ids = torch.zeros(rows, prompt, dtype=torch.long, device=device)
    name = "transformers.generation.utils.GenerationMixin._has_unfinished_sequences"
    settings = trainer.generation_config
    settings.max_new_tokens = count
    with patch(name, lambda *_, **__: next(left, False)), patch("transformers.generation.utils.logger"):
        trainer.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings)


def scored(trainer: Any, step: TrainingStep, device: str) -> None:
    """Log-probabilities of a micro-batch of answers: by the model where it must know, and its reference."""
    if not step.objective.sampled:
        return
    rows, keep = step.batch.rows, step.objective.completion or 1
    ids = torch.zeros(rows, step.batch.length, dtype=torch.long, device=device)

    def read(model: Any) -> None:
        trainer._get_per_token_logps_and_entropies(model, ids, torch.ones_like(ids), keep)  # noqa: SLF001

    if step.objective.kind == "rloo":
        read(trainer.model)
    if step.objective.reference == "model":
        read(trainer.ref_model)
    adapted = step.objective.reference == "adapter"
    with trainer.model.disable_adapter() if adapted else nullcontext():
        if adapted:
            read(trainer.model)
