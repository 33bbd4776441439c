"""The true peaks of real training steps on the CPU, from the memory events of PyTorch's profiler."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from ftc.estimate.abstract import optimizer as optimizers
from ftc.estimate.abstract.loss import criterion, inputs
from ftc.estimate.abstract.model import loaded, models, prepared, skeleton
from ftc.estimate.abstract.trainers import tokenizer
from ftc.estimate.step import TrainingStep
from ftc.objectives.sft import arguments

PREFIX = "ftc:"


def phase(name: str) -> Any:
    """What runs within belongs to the phase."""
    return record_function(PREFIX + name)


def peaks(run: Callable[[], None]) -> dict[str, int]:
    """The most bytes that PyTorch's CPU allocator held at once, by phase."""
    gc.collect()  # what an earlier run left would else be given back in this one
    with (
        patch.object(
            torch.autograd.profiler.profile, "_parse_kineto_results", lambda *_, **__: []
        ),  # slow, unread
        profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiler,
    ):
        run()
    events = profiler.profiler.kineto_results.events()
    phases = [
        (event.start_ns(), event.start_ns() + event.duration_ns(), event.name().removeprefix(PREFIX))
        for event in events
        if event.name().startswith(PREFIX)
    ]
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    found: dict[str, int] = {}
    held = 0
    for moment, change in changes:
        held += change
        for begin, end, name in phases:
            if begin <= moment <= end:
                found[name] = max(found.get(name, 0), held)
    return found


def step_of(step: TrainingStep) -> dict[str, int]:
    """The peaks of two optimizer steps of a random model, by phase."""
    own = "sdpa" if step.attention == "flash" else None

    def micro_batch(model: Any, loss_of: Any) -> None:
        with phase("forward"):
            batch = inputs(step, step.batch.rows, step.batch.length, "cpu")
            kind = getattr(torch, step.autocast or "bfloat16")
            with torch.autocast("cpu", dtype=kind, enabled=step.autocast is not None):
                loss = loss_of(model, batch)
        with phase("backward"):
            loss.backward()

    def run() -> None:
        with phase("load"):
            bases = [
                loaded(skeleton(each, device="cpu", backend="cpu", attention=own), each)
                for each in models(step)
            ]
            model = prepared(bases[0], step)
            loss_of = criterion(model, step, *bases[1:])
            trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
            optimizer = optimizers.make(step.optimizer, trained)
        for _ in range(2):
            for _ in range(1 + step.batch.accumulated):
                micro_batch(model, loss_of)
            with phase("optimizer"):
                optimizers.clip(trained)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
        if step.evaluation is not None:
            model.eval()
            with phase("evaluation"), torch.no_grad():
                loss_of(model, inputs(step, step.evaluation.rows, step.evaluation.length, "cpu"))

    return peaks(run)


def trainer(step: TrainingStep, directory: Path) -> dict[str, int]:
    """The peak of two steps of TRL's own SFT trainer, over rows that are all of one length."""
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl import SFTConfig, SFTTrainer

    ids = list(range(step.batch.length))
    row = {"input_ids": ids, "labels": ids}
    config = SFTConfig(
        output_dir=str(directory),
        use_cpu=True,
        bf16=False,
        max_steps=2,
        per_device_train_batch_size=step.batch.rows,
        gradient_accumulation_steps=1 + step.batch.accumulated,
        gradient_checkpointing=step.checkpointing != "none",
        gradient_checkpointing_kwargs={"use_reentrant": step.checkpointing == "reentrant"},
        optim="adamw_torch",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        **arguments({}),
    )

    def run() -> None:
        with phase("train"):
            base = skeleton(step, device="cpu", backend="cpu", attention="sdpa")
            made = SFTTrainer(
                model=prepared(base, step),
                args=config,
                train_dataset=Dataset.from_list([row] * 8),
                processing_class=tokenizer(),
            )
            made.remove_callback(PrinterCallback)
            made.train()

    return peaks(run)
