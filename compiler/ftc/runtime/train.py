"""Training: the plan's trainer on the compiled rows, from the newest checkpoint if there is one."""

from __future__ import annotations

import time
from typing import Any

from ftc.runtime import checkpoints, isolation
from ftc.runtime.collate import Collator, PackedCollator
from ftc.runtime.events import Phase, Warned
from ftc.runtime.job import Job
from ftc.runtime.metrics import METRICS, rewind
from ftc.runtime.ready import Ready
from ftc.runtime.rows import trainable
from ftc.runtime.sequences import MappedRows, training_set
from ftc.runtime.stop import StoppedError
from ftc.runtime.trainer import Session, extended, named


def config(plan: Ready, job: Job) -> Any:
    """The trainer's config: the plan's arguments, and what belongs to this machine."""
    device = plan.environment.device
    return named(plan.objective.config)(
        **plan.train.arguments,
        output_dir=str(job.checkpoints),
        use_cpu=device == "cpu",
        dataloader_pin_memory=device == "cuda",
    )


def make_trainer(plan: Ready, job: Job, session: Session, *, model: Any, tokenizer: Any) -> Any:
    """The plan's trainer over the compiled rows, ready to train."""
    from transformers import PrinterCallback

    rows = trainable(plan.data.train, job.data, job.work / "train.arrow")
    packed = plan.data.sequences is not None and plan.data.sequences.capacity is not None
    if packed:
        isolation.prove(model, MappedRows(rows), plan.model.dtype)
    trainer = extended(named(plan.objective.trainer))(
        model=model,
        args=config(plan, job),
        train_dataset=training_set(plan.data, job.data, rows, job.work / "sequences.arrow"),
        data_collator=PackedCollator(MappedRows(rows)) if packed else Collator(plan.tokenizer.pad_id),
        processing_class=tokenizer,
    )
    trainer.session = session
    trainer.remove_callback(PrinterCallback)
    return trainer


def train(plan: Ready, job: Job, session: Session, *, model: Any, tokenizer: Any) -> Any:
    """Train to the plan's last step and return the model.

    Raises StoppedError once a stop was asked for and a checkpoint is written; BuildError if it diverges.
    """
    found, step, damaged = checkpoints.newest(job.checkpoints)
    for name in damaged:
        session.emit(Warned(f"the checkpoint {name} is damaged and is not used"))
    rewind(job.run / METRICS, found)
    trainer = make_trainer(plan, job, session, model=model, tokenizer=tokenizer)
    session.first_step = step
    if found and step >= plan.train.steps:
        trainer.restore_weights(found)
        return trainer.model
    session.emit(Phase("train", f"from step {step}" if found else ""))
    session.started = time.monotonic()
    trainer.train(resume_from_checkpoint=str(found) if found else None)
    if trainer.state.global_step < plan.train.steps:
        raise StoppedError
    return trainer.model
