"""An encoder as sentence-transformers runs it, and the runtime's own loss of its embeddings."""

from __future__ import annotations

import tempfile
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch

from ftc.estimate.abstract.trainers import tokenizer
from ftc.estimate.step import Evaluation, TrainingStep
from ftc.runtime import embeddings

UNREAD = "pooler"
"""Part of an encoder that is made in every pass and has no gradient, as nothing reads it."""

Texts = dict[str, torch.Tensor]


def wrapped(encoder: Any) -> Any:
    """The encoder with mean pooling to unit vectors."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules.normalize import Normalize
    from sentence_transformers.base.modules.transformer import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    with (
        tempfile.TemporaryDirectory() as directory,
        patch.object(Transformer, "_load_model", lambda *_, **__: encoder),
    ):
        tokenizer().save_pretrained(directory)
        encoder.config.save_pretrained(directory)
        first = Transformer(directory)
    pooling = Pooling(encoder.config.hidden_size, pooling_mode="mean")
    device = str(encoder.device)
    return SentenceTransformer(modules=[first, pooling, Normalize()], device=device)


def encodes(model: Any) -> bool:
    """Whether it is a model of sentence-transformers."""
    return hasattr(model, "_first_module")


def trains(name: str) -> bool:
    """Whether the weight of this name gets a gradient."""
    return f".{UNREAD}." not in name


def _texts(rows: int, length: int, device: str, *, padded: bool) -> Texts:
    ids = torch.zeros(rows, length, dtype=torch.long, device=device)
    mask = torch.ones_like(ids)
    if padded:
        mask[-1, length // 2 :] = 0
    return {"input_ids": ids, "attention_mask": mask}


def features(step: TrainingStep, rows: int, length: int, device: str) -> dict[str, Any]:
    """The texts of a batch, each kind apart: a row has two or, beside a negative, three."""
    texts = 3 if step.loss.kernel == "contrastive" else step.objective.texts or 2
    return {str(place): _texts(rows, length, device, padded=step.batch.padded) for place in range(texts)}


class Compared:
    """The loss of a batch of texts that the runtime has."""

    def __init__(self, model: Any, step: TrainingStep):
        options = {"loss": step.loss.kernel, "scale": 20.0, "margin": 0.5}
        plan: Any = SimpleNamespace(objective=SimpleNamespace(options=options))
        self.loss = embeddings.loss(plan, model)

    def __call__(self, _model: Any, batch: dict[str, Any]) -> torch.Tensor:
        """The loss; sentence-transformers leaves what it made of the texts beside them meanwhile."""
        found: torch.Tensor = self.loss([dict(texts) for texts in batch.values()], None)
        return found


def read(model: Any, how: Evaluation) -> None:
    """Vectors of a batch of held-out texts, beside what the batch before left."""
    before, texts = None, _texts(how.rows, how.length, str(model.device), padded=how.padded)
    for _ in range(2):
        before = model(dict(texts))
    del before
