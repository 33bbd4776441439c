"""New tokens in the model and beside it: rows for them, and the tokenizer that knows them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ftc.plan.steps import ModelStep
from ftc.runtime.job import Job
from ftc.runtime.ready import Ready
from ftc.runtime.save import TOKENIZER_FILES
from ftc.tuning.new_tokens import write_tokenizer


def tokenizer_directory(plan: Ready, job: Job) -> Path:
    """Where the tokenizer is that the rows were compiled by: the model's own, or one with more tokens."""
    if not plan.model.new_tokens:
        return job.model
    target = job.work / "tokenizer"
    shutil.rmtree(target, ignore_errors=True)
    write_tokenizer(job.model, TOKENIZER_FILES, target, plan.model.new_tokens)
    return target


def grow(model: Any, step: ModelStep) -> Any:
    """The model with rows for its new tokens; each begins as the mean of those that its text was made of.

    Where the output head is tied to the embedding it is the same rows; otherwise it has its own.
    """
    import torch

    if not step.new_tokens:
        return model
    if model.get_input_embeddings().weight.shape[0] < step.vocabulary:
        model.resize_token_embeddings(step.vocabulary, mean_resizing=False)
    tables = {
        id(table): table for table in (model.get_input_embeddings(), model.get_output_embeddings()) if table
    }
    weights = {id(table.weight): table.weight for table in tables.values()}
    with torch.no_grad():
        for weight in weights.values():
            old = weight.detach().clone()
            for token in step.new_tokens:
                weight[token.id] = old[list(token.pieces)].float().mean(dim=0).to(weight.dtype)
    return model
