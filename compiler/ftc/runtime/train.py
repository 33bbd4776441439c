"""Training: the plan's trainer on the compiled rows, from the newest checkpoint if there is one."""

from __future__ import annotations

import time
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ftc.runtime import checkpoints, isolation, trackers
from ftc.runtime.collate import collated
from ftc.runtime.events import Phase, Warned
from ftc.runtime.failure import BuildError
from ftc.runtime.job import Job
from ftc.runtime.load import load_model
from ftc.runtime.metrics import METRICS, rewind
from ftc.runtime.ready import Ready
from ftc.runtime.rows import trainable
from ftc.runtime.sequences import MappedRows, training_set
from ftc.runtime.stop import StoppedError
from ftc.runtime.trainer import Session, extended, named
from ftc.runtime.watch import Watch

AGAIN = "run the same command again: it goes on from an earlier checkpoint"


def config(plan: Ready, job: Job) -> Any:
    """The trainer's config: the plan's arguments, and what belongs to this machine.

    Raises BuildError where the installed package has no field of that name.
    """
    device = plan.environment.device
    arguments = {
        **plan.train.arguments,
        "output_dir": str(job.checkpoints),
        "use_cpu": device == "cpu",
        "dataloader_pin_memory": device == "cuda",
        "report_to": "none",
        **trackers.arguments(job),
    }
    made = named(plan.objective.config)
    missing = sorted(set(arguments) - {field.name for field in fields(made)})
    if missing:
        raise renamed(missing, plan.objective.config)
    return made(**arguments)


def renamed(missing: list[str], reference: str) -> BuildError:
    """The failure where a field of a config is not there under the name that ftc knows."""
    module, _, name = reference.partition(":")
    package = module.partition(".")[0]
    return BuildError(
        "FTC503",
        f"the installed {package} {version(package)} has no `{', '.join(missing)}` in its {name}",
        f"install a release of {package} that this ftc knows: pip install --upgrade ftc",
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
        train_dataset=_ordered(plan, training_set(plan.data, job.data, rows, job.work / "sequences.arrow")),
        **collated(plan, MappedRows(rows), packed=packed),
        processing_class=tokenizer,
        **_reference(plan, job),
        **_rewards(plan, job, tokenizer),
        **_teacher(plan, job),
        **_own_loss(plan, model),
    )
    trainer.session = session
    trainer.remove_callback(PrinterCallback)
    return trainer


def _ordered(plan: Ready, rows: Any) -> Any:
    """The rows in the order of training where the trainer itself keeps the order it is given."""
    if plan.train.arguments.get("train_sampling_strategy") == "sequential":
        rows = rows.shuffle(seed=plan.seed, keep_in_memory=True)
    if plan.objective.batches == "prompts":
        rows = rows.add_column(
            "prompt", [str(row) for row in range(len(rows))]
        )  # it takes the tokens instead
    if plan.objective.batches == "pairs_apart":
        rows.map = lambda *_, **__: rows  # what the trainer would tokenise is compiled
    return rows


def _own_loss(plan: Ready, model: Any) -> dict[str, Any]:
    """The loss that the trainer has to be told.

    Of classes it is a mean over all rows of a step: the models' own heeds one micro-batch alone.
    """
    if plan.objective.head == "embedding":
        from ftc.runtime import embeddings

        return {"loss": embeddings.loss(plan, model)}
    if plan.objective.head != "classes":
        return {}
    from ftc.runtime.classes import ClassLoss

    smoothing = plan.objective.options.get("label_smoothing", 0.0)
    return {"compute_loss_func": ClassLoss(float(str(smoothing)))}


def _teacher(plan: Ready, job: Job) -> dict[str, Any]:
    """The model that the trained one follows, where the objective has one."""
    step = plan.objective.teacher
    if step is None:
        return {}
    if job.teacher is None:
        raise BuildError("FTC703", "the plan has a teacher, and its weights are not there")
    model = load_model(step, job.teacher)
    model.requires_grad_(False)
    return {"teacher_model": model.to(plan.environment.device).eval()}


def _rewards(plan: Ready, job: Job, tokenizer: Any) -> dict[str, Any]:
    """The functions that score sampled answers, where the objective samples."""
    if not plan.objective.rewards:
        return {}
    from ftc.runtime.rewards import functions

    return {"reward_funcs": functions(plan, tokenizer, job.scorers)}


def _reference(plan: Ready, job: Job) -> dict[str, Any]:
    """The model as it was, where the objective needs it; under adapters the base itself is there."""
    if not plan.objective.reference or plan.tune.peft is not None:
        return {}
    model = load_model(plan.model, job.model)
    model.requires_grad_(False)
    return {"ref_model": model.to(plan.environment.device).eval()}


def train(plan: Ready, job: Job, session: Session, *, model: Any, tokenizer: Any) -> Any:
    """Train to the plan's last step, or until the held-out loss no longer falls; returns the model to keep.

    Raises StoppedError once a stop was asked for and a checkpoint is written; BuildError if it diverges.
    """
    session.watch = Watch.make(plan, job.data, session.stop)
    found, step = _newest(job, session)
    rewind(job.run / METRICS, found)
    session.resume(found)
    trainer = make_trainer(plan, job, session, model=model, tokenizer=tokenizer)
    session.first_step = step
    if found and session.due(step, plan.train.steps):
        _catch_up(trainer, found, step)
    if found and (step >= plan.train.steps or session.ended):
        trainer.restore_weights(found)
        return _kept(trainer, job, session)
    session.emit(Phase("train", f"from step {step}" if found else ""))
    session.started = time.monotonic()
    trainer.train(resume_from_checkpoint=str(found) if found else None)
    if trainer.state.global_step < plan.train.steps and not session.ended:
        raise StoppedError
    return _kept(trainer, job, session)


def _newest(job: Job, session: Session) -> tuple[Path | None, int]:
    """The checkpoint to go on from, if there is one, and its step; what is of no use is told and removed."""
    seen = checkpoints.newest(job.checkpoints, session.best_of, session.digest)
    for name, why in seen.passed:
        session.emit(Warned(f"the checkpoint {name} {why} and is not used"))
    checkpoints.drop(job.checkpoints, (name for name, _ in seen.passed))
    return seen.directory, seen.step


def _catch_up(trainer: Any, checkpoint: Path, step: int) -> None:
    """Evaluate the held-out loss of a checkpoint that was written before there was time for that."""
    trainer.restore_weights(checkpoint)
    if trainer.held_out(step) is None:
        raise StoppedError


def _kept(trainer: Any, job: Job, session: Session) -> Any:
    """The model with the weights to be saved: those of the last step, or those of the best one."""
    best, last = session.best_of(job.run), session.history.losses[-1][0]
    if best is not None and best != last:
        directory = checkpoints.at(job.checkpoints, best)
        if not checkpoints.is_whole(directory):
            raise BuildError("FTC703", f"the checkpoint of the best step, {best}, is damaged", AGAIN)
        trainer.restore_weights(directory)
    return trainer.model
