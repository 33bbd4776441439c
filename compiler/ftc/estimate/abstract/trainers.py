"""TRL's trainers around a model without values, for the losses that are methods of theirs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
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


def reward(completions: list[str], **_: Any) -> list[float]:
    """Nothing for every answer: trainers that sample want a reward when they are made."""
    return [0.0 for _ in completions]


Made = tuple[str, dict[str, Any], list[dict[str, Any]]]


def _trainer(step: TrainingStep) -> Made:
    """The objective's trainer as `module:class`, its config's options, and rows to make it with."""
    own, options = step.objective, dict[str, Any]()
    if own.kind == "dpo":
        return "trl.trainer.dpo_trainer:DPOTrainer", {}, [ROW]
    if own.kind == "reward":
        return "trl.trainer.reward_trainer:RewardTrainer", {}, [ROW]
    if own.kind == "orpo":
        return "trl.experimental.orpo.orpo_trainer:ORPOTrainer", {"max_length": 8}, [ROW]
    if own.kind == "cpo":
        options |= {"max_length": 8, "cpo_alpha": float(step.loss.learned)}
        return "trl.experimental.cpo.cpo_trainer:CPOTrainer", options, [ROW]
    if own.kind == "gkd":
        options |= {"beta": 0.5 if step.loss.mixture else 0.0, "temperature": 0.9 if own.cooled else 1.0}
        return "trl.experimental.gkd.gkd_trainer:GKDTrainer", options, [{"messages": []}]
    if own.sampled:
        options |= {"beta": float(own.reference != "none"), "num_generations": 2}
        options |= {"per_device_train_batch_size": 2, "top_p": 0.9 if own.nucleus else 1.0}
        options |= {"temperature": 0.9 if own.cooled else 1.0}
        return f"trl.trainer.{own.kind}_trainer:{own.kind.upper()}Trainer", options, [{"prompt": "a"}]
    options |= {
        "loss_type": "kto" if own.drift is not None else "apo_zero_unpaired",
        "per_device_train_batch_size": 2,
        "train_sampling_strategy": "sequential",
    }
    rows = [{"prompt": "a", "completion": word, "label": word == "a"} for word in ("a", "b")]
    return "trl.trainer.kto_trainer:KTOTrainer", options, rows


def _beside(step: TrainingStep, other: Any) -> dict[str, Any]:
    """What the trainer is made with beside its model: a reference, a teacher, or rewards."""
    kind = step.objective.kind
    if kind in ("dpo", "kto"):
        return {"ref_model": other}
    if kind == "gkd":
        return {"teacher_model": other}
    return {"reward_funcs": reward} if step.objective.sampled else {}


def made(model: Any, other: Any, step: TrainingStep) -> Any:
    """TRL's trainer of a model, which stays on its device, and of its reference or teacher, if it has one."""
    from accelerate import Accelerator
    from datasets import Dataset
    from datasets.utils.logging import disable_progress_bar

    disable_progress_bar()
    place, options, rows = _trainer(step)
    module, _, name = place.partition(":")
    kind = getattr(import_module(module), name)
    stays = {"_move_model_to_device": lambda _self, model, _device: model}
    trainer_type = type(kind.__name__, (kind,), stays)
    with (
        tempfile.TemporaryDirectory() as directory,
        next(model.parameters()).device,
        patch.object(Accelerator, "prepare_model", lambda _self, model, **_: model),
        patch(f"{module}.create_model_from_path", lambda *_, **__: other, create=True),
    ):
        config = getattr(import_module(module), name.replace("Trainer", "Config"))(
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
            args=config,
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer(),
            **_beside(step, other),
        )
    if step.objective.reference == "adapter" and "ref" in model.peft_config:
        model.delete_adapter("ref")  # the reference is the base alone
    device = next(model.parameters()).device
    there = type("Accelerator", (Accelerator,), {"device": property(lambda _self: device)})
    trainer.accelerator.__class__ = there
    trainer.current_gradient_accumulation_steps = 1
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


def apart(step: TrainingStep, rows: int, length: int, device: str) -> dict[str, torch.Tensor]:
    """A batch of pairs whose answers stand apart."""
    whole = pairs(step, rows, length, device)
    halves = {"chosen": slice(None, rows), "rejected": slice(rows, None)}
    whole["labels"] = whole["input_ids"]
    names = ("input_ids", "attention_mask", "labels")
    return {f"{name}_{part}": whole[part][half].clone() for name, half in halves.items() for part in names}


def followed(step: TrainingStep, rows: int, length: int, device: str) -> dict[str, torch.Tensor]:
    """A batch of rows that a teacher reads too."""
    whole = judged(step, rows, length, device)
    batch = {name: whole[name] for name in ("input_ids", "attention_mask")}
    return batch | {"labels": torch.zeros_like(batch["input_ids"])}


def written(step: TrainingStep, rows: int, length: int, device: str) -> dict[str, Any]:
    """A batch of sampled answers as the trainers that sample them make it."""
    count = min(step.objective.completion or 1, length - 1)
    ids = torch.zeros(rows, length, dtype=torch.long, device=device)
    prompts, answers = (part.clone() for part in (ids[:, : length - count], ids[:, length - count :]))
    batch = {"prompt_ids": prompts, "completion_ids": answers, "prompt_mask": torch.ones_like(prompts)}
    batch["completion_mask"] = torch.ones_like(answers)
    if step.batch.padded:
        batch["completion_mask"][-1, count // 2 :] = 0
    for name in ("advantages", "old_logps"):
        batch[name] = torch.zeros(rows, device=device)
    if step.objective.reference != "none":
        batch["ref_per_token_logps"] = torch.zeros(rows, count, device=device)
    return batch | {"num_items_in_batch": torch.tensor(rows * count, device=device)}


BATCHES: dict[str, Callable[[TrainingStep, int, int, str], dict[str, Any]]] = {
    "dpo": pairs,
    "orpo": apart,
    "cpo": apart,
    "kto": judged,
    "reward": scored,
    "classes": scored,
    "gkd": followed,
    "grpo": written,
    "rloo": written,
}
"""What makes a batch of the objectives whose loss is their trainer's, by name."""
