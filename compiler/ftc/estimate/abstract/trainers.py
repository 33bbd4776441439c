"""TRL's trainers around a model without values, for the losses that are methods of theirs."""

from __future__ import annotations

import tempfile
from importlib import import_module
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


def _trainer(step: TrainingStep) -> tuple[str, Any, dict[str, Any], list[dict[str, Any]]]:
    """The module of the objective's trainer, its class, its config's options, and rows to make it with."""
    trl: Any = import_module("trl")
    if step.objective.kind == "dpo":
        return "trl.trainer.dpo_trainer", trl.DPOTrainer, {}, [ROW]
    if step.objective.kind == "reward":
        return "trl.trainer.reward_trainer", trl.RewardTrainer, {}, [ROW]
    drift = step.objective.drift is not None
    options = {
        "loss_type": "kto" if drift else "apo_zero_unpaired",
        "per_device_train_batch_size": 2,
        "train_sampling_strategy": "sequential",
    }
    rows = [{"prompt": "a", "completion": word, "label": word == "a"} for word in ("a", "b")]
    return "trl.trainer.kto_trainer", trl.KTOTrainer, options, rows


def referring(model: Any, reference: Any, step: TrainingStep) -> Any:
    """TRL's trainer of a model, which stays on its device, and of its reference, if that is a model."""
    from accelerate import Accelerator
    from datasets import Dataset
    from datasets.utils.logging import disable_progress_bar

    trl: Any = import_module("trl")
    disable_progress_bar()
    module, kind, options, rows = _trainer(step)
    stays = {"_move_model_to_device": lambda _self, model, _device: model}
    trainer_type = type(kind.__name__, (kind,), stays)
    with (
        tempfile.TemporaryDirectory() as directory,
        next(model.parameters()).device,
        patch.object(Accelerator, "prepare_model", lambda _self, model, **_: model),
        patch(f"{module}.create_model_from_path", lambda *_, **__: None),
    ):
        config = getattr(trl, kind.__name__.replace("Trainer", "Config"))(
            output_dir=directory,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            gradient_checkpointing_kwargs={"use_reentrant": step.checkpointing == "reentrant"},
            report_to=[],
            **options,
        )
        trainer = trainer_type(
            model=model,
            **({} if step.objective.scores else {"ref_model": reference}),
            args=config,
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer(),
        )
    if step.objective.reference == "adapter":
        model.delete_adapter("ref")  # the reference is the base alone
    device = next(model.parameters()).device
    there = type("Accelerator", (Accelerator,), {"device": property(lambda _self: device)})
    trainer.accelerator.__class__ = there
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


def judged(step: TrainingStep, rows: int, length: int, device: str) -> dict[str, torch.Tensor]:
    """A batch of judged answers as the runtime's collator makes it, with those that tell the drift."""
    ids = torch.zeros(rows, length, dtype=torch.long, device=device)
    mask = torch.ones_like(ids)
    if step.batch.padded:
        mask[-1, length // 2 :] = 0
    batch = {"input_ids": ids, "attention_mask": mask, "completion_mask": torch.ones_like(ids)}
    batch["label"] = torch.arange(rows, device=device) % 2 == 0
    if step.objective.drift:
        others = torch.ones(rows, step.objective.drift, dtype=torch.long, device=device)
        batch |= {"KL_input_ids": torch.zeros_like(others), "KL_attention_mask": others}
        batch["KL_completion_mask"] = torch.ones_like(others)
    return batch


def scored(step: TrainingStep, rows: int, length: int, device: str) -> dict[str, torch.Tensor]:
    """A batch of pairs, or of rows with a class each, for a head of scores."""
    whole = pairs(step, rows, length, device)
    batch = {name: whole[name] for name in ("input_ids", "attention_mask")}
    if step.objective.kind == "reward":
        return batch
    first = {name: values[-rows:].clone() for name, values in batch.items()}
    return first | {"classes": torch.zeros(rows, dtype=torch.long, device=device)}


BATCHES = {"dpo": pairs, "kto": judged, "reward": scored, "classes": scored}
"""What makes a batch of the objectives whose loss is their trainer's, by name."""
