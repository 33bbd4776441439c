"""Fix batches, steps and every argument of the trainer's configuration."""

from __future__ import annotations

from math import ceil

from pydantic import JsonValue

from ftc import objectives, tuning
from ftc.diagnostics import Finding
from ftc.plan.context import Context, Outcome, choice, filled
from ftc.plan.steps import Choice, Plan, TrainStep
from ftc.recipe.model import Train

TOKENS_AT_A_TIME = 16_384
"""Tokens of a micro-batch which a small model takes on ordinary hardware."""
EPOCHS = {"sft": 3.0, "cpt": 1.0}
CHECKPOINTS = 4
SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}


def _micro_batch(train: Train, longest: int) -> tuple[int, tuple[Choice, ...]]:
    if train.micro_batch is not None:
        return train.micro_batch, ()
    fitting = [
        size
        for size in range(1, train.batch + 1)
        if train.batch % size == 0 and size * longest <= TOKENS_AT_A_TIME
    ]
    size = max(fitting, default=1)
    reason = f"the longest row has {longest} tokens, and {TOKENS_AT_A_TIME} tokens at a time are moderate"
    return size, (choice("train.micro_batch", size, reason),)


def _steps(train: Train, rows: int, objective: str) -> tuple[int, float, tuple[Choice, ...]]:
    """Optimizer steps, the epochs they amount to, and the choices made."""
    a_pass = ceil(rows / train.batch)
    if train.steps is not None:
        return train.steps, train.steps / a_pass, ()
    if train.epochs is not None:
        return ceil(train.epochs * a_pass), train.epochs, ()
    epochs = EPOCHS[objective]
    reason = "usual for fine-tuning" if objective == "sft" else "one pass is usual for pretraining"
    return ceil(epochs * a_pass), epochs, (choice("train.epochs", epochs, reason),)


def _learning_rate(context: Context) -> tuple[float, tuple[Choice, ...]]:
    stated = context.recipe.train.learning_rate
    if stated is not None:
        return stated, ()
    method = tuning.load(context.recipe.tune.method)
    return method.learning_rate, (
        choice("train.learning_rate", method.learning_rate, method.learning_rate_reason),
    )


def _arguments(
    plan: Plan, context: Context, *, steps: int, micro: int, save: int, rate: float
) -> dict[str, JsonValue]:
    """Arguments of TRL's config that say how to train; places and devices are the runtime's to add."""
    assert plan.objective is not None  # noqa: S101 - the order of the passes
    assert plan.model is not None  # noqa: S101
    assert plan.environment is not None  # noqa: S101
    train = context.recipe.train
    arguments: dict[str, JsonValue] = {
        "max_steps": steps,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": train.batch // micro,
        "learning_rate": rate,
        "lr_scheduler_type": SCHEDULES[train.schedule],
        "warmup_steps": ceil(train.warmup * steps),
        "weight_decay": train.weight_decay,
        "max_grad_norm": train.max_grad_norm,
        "gradient_checkpointing": train.gradient_checkpointing,
        "optim": "adamw_torch",
        "bf16": plan.model.dtype == "bfloat16" and plan.environment.device != "cpu",
        "fp16": False,
        "logging_steps": 1,
        "logging_strategy": "steps",
        "save_strategy": "steps",
        "save_steps": save,
        "save_total_limit": 2,
        "eval_strategy": "no",
        "seed": context.recipe.seed,
        "data_seed": context.recipe.seed,
        "report_to": "none",
        "disable_tqdm": True,
        "average_tokens_across_devices": True,
        "dataloader_num_workers": 0,
    }
    objective = objectives.load(plan.objective.name)
    return dict(sorted({**arguments, **objective.arguments(), **train.trl}.items()))


def _unfit(plan: Plan, context: Context) -> tuple[Finding, ...]:
    """Full fine-tuning of float16 weights: the optimizer's small steps vanish in them."""
    if context.recipe.model.dtype != "float16" or plan.tune is None or plan.tune.peft is not None:
        return ()
    return (
        Finding(
            "FTC506",
            "float16 weights are too coarse to be trained themselves",
            context.origins.value("model", "dtype"),
            help=('write dtype = "bfloat16" or "float32", or train adapters: [tune] with method = "lora"',),
        ),
    )


def run(plan: Plan, context: Context) -> Outcome:
    """Derive the steps from the compiled rows, and the trainer's arguments from the whole plan."""
    assert plan.data is not None  # noqa: S101 - the order of the passes
    assert plan.objective is not None  # noqa: S101
    train = context.recipe.train
    micro, micro_choices = _micro_batch(train, plan.data.train.longest)
    steps, epochs, step_choices = _steps(train, plan.data.train.rows, plan.objective.name)
    rate, rate_choices = _learning_rate(context)
    save = train.save_every or ceil(steps / CHECKPOINTS)
    save_choices = (
        ()
        if train.save_every
        else (choice("train.save_every", save, f"{CHECKPOINTS} checkpoints over the run, to resume from"),)
    )
    step = TrainStep(
        steps=steps,
        epochs=epochs,
        batch=train.batch,
        micro_batch=micro,
        accumulation=train.batch // micro,
        save_every=save,
        arguments=_arguments(plan, context, steps=steps, micro=micro, save=save, rate=rate),
    )
    return Outcome(
        filled(plan, step_choices + micro_choices + rate_choices + save_choices, train=step),
        _unfit(plan, context),
    )
