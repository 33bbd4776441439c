"""TRL's trainers around a model without values, for the losses that are methods of theirs."""

from __future__ import annotations

import tempfile
from typing import Any
from unittest.mock import patch

import torch

from ftc.estimate.step import TrainingStep

END = "<end>"
ROW = {"prompt": "a", "chosen": "b", "rejected": "a"}


def tokenizer() -> Any:
    """A tokenizer of three words: trainers want one when they are made."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({"a": 0, "b": 1, END: 2}, "a"))
    made: Any = PreTrainedTokenizerFast
    return made(tokenizer_object=words, eos_token=END, pad_token=END)


def dpo(model: Any, reference: Any, step: TrainingStep) -> Any:
    """TRL's DPO trainer of a model, which stays on its device, and of its reference, if that is a model."""
    from accelerate import Accelerator
    from datasets import Dataset
    from datasets.utils.logging import disable_progress_bar
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    disable_progress_bar()
    stays = {"_move_model_to_device": lambda _self, model, _device: model}
    trainer_type = type("DPOTrainer", (DPOTrainer,), stays)
    with (
        tempfile.TemporaryDirectory() as directory,
        next(model.parameters()).device,
        patch.object(Accelerator, "prepare_model", lambda _self, model, **_: model),
        patch("trl.trainer.dpo_trainer.create_model_from_path", lambda *_, **__: None),
    ):
        config = DPOConfig(
            output_dir=directory,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            gradient_checkpointing_kwargs={"use_reentrant": step.checkpointing == "reentrant"},
            report_to=[],
        )
        trainer = trainer_type(
            model=model,
            ref_model=reference,
            args=config,
            train_dataset=Dataset.from_list([ROW]),
            processing_class=tokenizer(),
        )
    if step.objective.reference == "adapter":
        model.delete_adapter("ref")  # the reference is the base alone
    trainer.precompute_ref_logps = step.objective.reference == "precomputed"
    return trainer


def pairs(step: TrainingStep, rows: int, length: int, device: str) -> dict[str, torch.Tensor]:
    """A batch of pairs as TRL's collator makes it: all chosen rows, then all rejected ones."""
    ids = torch.zeros(2 * rows, length, dtype=torch.long, device=device)
    mask = torch.ones_like(ids)
    if step.batch.padded:
        mask[-1, length // 2 :] = 0
    batch = {"input_ids": ids, "attention_mask": mask, "completion_mask": torch.ones_like(ids)}
    if step.objective.reference == "precomputed":
        for name in ("ref_chosen_logps", "ref_rejected_logps"):
            batch[name] = torch.zeros(rows, device=device)
    return batch
