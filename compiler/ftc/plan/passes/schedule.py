"""Fix batches, steps and every argument of the trainer's configuration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from pydantic import JsonValue

from ftc import objectives, tuning
from ftc.diagnostics import Finding, has_errors
from ftc.estimate.fit import Fit
from ftc.objectives import Objective
from ftc.plan import learning_rate, optimizer, training_options
from ftc.plan.context import Context, Outcome, choice, filled
from ftc.plan.fitting import Draft, settle, with_fit
from ftc.plan.passes import evaluation
from ftc.plan.passes.tune import counted
from ftc.plan.steps import Choice, DataStep, Plan, TrainStep
from ftc.recipe.training import Train

TOKENS_AT_A_TIME = 16_384
"""Tokens of a micro-batch which a small model takes on ordinary hardware."""
PACKED_AT_A_TIME = 4096
"""Tokens of a packed micro-batch: it is one row to the model, whose mask grows with their square."""
CHECKPOINTS = 4


@dataclass(frozen=True)
class _Units:
    """What a batch counts: rows, or sequences of `rows` rows; tokens of the longest and of a usual one.

    The longest is the most tokens that go through the model for one of them: of all members of a row, or of
    all answers that are sampled to it. `least` are as many as a micro-batch needs.
    """

    count: int
    longest: int
    rows: float
    packed: bool
    tokens: float
    least: int = 1

    @classmethod
    def of(cls, plan: Plan, data: DataStep) -> _Units:
        """One pass over the training rows."""
        laid_out, train = data.sequences, data.train
        if laid_out is None or laid_out.capacity is None:
            count = train.rows if laid_out is None else laid_out.count
            longest = _tokens_at_once(plan, train.longest)
            return cls(count, longest, 1.0, False, train.tokens / train.rows, 2 if _drifts(plan) else 1)
        rows, tokens = laid_out.rows / laid_out.count, laid_out.tokens / laid_out.count
        return cls(laid_out.count, laid_out.longest, rows, True, tokens)


def _tokens_at_once(plan: Plan, longest: int) -> int:
    """Tokens that the longest row sends through the model: all its members, or all answers sampled to it."""
    members = len(plan.render.members) if plan.render else 0
    options = plan.objective.options if plan.objective else {}
    if plan.objective is None or plan.objective.batches != "prompts":
        return longest * max(members, 1)
    return int(str(options["generations"])) * (longest + int(str(options["max_new_tokens"])))


def _drifts(plan: Plan) -> bool:
    """Whether the loss takes other rows of the micro-batch to see how far the model has moved."""
    step = plan.objective
    return step is not None and step.batches == "labelled" and step.options["loss"] == "kto"


def _batch(train: Train, units: _Units) -> tuple[int, tuple[Choice, ...]]:
    """What a step takes. Unset, packing leaves it at about as many rows as it would be without."""
    if not units.packed or "batch" in train.model_fields_set:
        return train.batch, ()
    micro = train.micro_batch if isinstance(train.micro_batch, int) else 1
    batch = max(1, round(train.batch / units.rows / micro)) * micro
    reason = f"sequences, of about {units.rows:.3g} rows each; {train.batch} rows a step are usual"
    return batch, (choice("train.batch", batch, reason),)


def _micro_batch(train: Train, batch: int, units: _Units) -> tuple[int, tuple[Choice, ...]]:
    if isinstance(train.micro_batch, int):
        return train.micro_batch, ()
    most = PACKED_AT_A_TIME if units.packed else TOKENS_AT_A_TIME
    sizes = [size for size in range(units.least, batch + 1) if batch % size == 0]
    fitting = [size for size in sizes if size * units.longest <= most]
    size, unit = max(fitting, default=min(sizes, default=1)), "sequence" if units.packed else "row"
    reason = f"the longest {unit} has {units.longest} tokens, and {most} tokens at a time are moderate"
    return size, (choice("train.micro_batch", size, reason),)


def _steps(
    train: Train, units: _Units, batch: int, objective: Objective
) -> tuple[int, float, tuple[Choice, ...]]:
    """Optimizer steps, the epochs they amount to, and the choices made."""
    a_pass = ceil(units.count / batch)
    if train.steps is not None:
        return train.steps, train.steps / a_pass, ()
    if train.epochs is not None:
        return ceil(train.epochs * a_pass), train.epochs, ()
    epochs = objective.epochs
    return ceil(epochs * a_pass), epochs, (choice("train.epochs", epochs, objective.epochs_reason),)


def _learning_rate(context: Context, objective: Objective) -> tuple[float, tuple[Choice, ...]]:
    stated = context.recipe.train.learning_rate
    if stated is not None:
        return stated, ()
    method = tuning.load(context.recipe.tune.method)
    rate, reason = method.learning_rate, method.learning_rate_reason
    if objective.rate != 1.0:
        rate = float(f"{rate * objective.rate:.3g}")
        reason = f"{method.learning_rate:g} is {reason}; {objective.rate_reason}"
    return rate, (choice("train.learning_rate", rate, reason),)


def trainer_arguments(plan: Plan, context: Context, step: TrainStep, rate: float) -> dict[str, JsonValue]:
    """Arguments of TRL's config that say how to train; places and devices are the runtime's to add."""
    assert plan.objective is not None  # noqa: S101 - the order of the passes
    assert plan.model is not None  # noqa: S101
    assert plan.environment is not None  # noqa: S101
    train = context.recipe.train
    arguments: dict[str, JsonValue] = {
        "max_steps": step.steps,
        "per_device_train_batch_size": step.micro_batch,
        "gradient_accumulation_steps": step.accumulation,
        **learning_rate.lowered(train, step.steps, rate),
        **training_options.arguments(train, liger=training_options.uses_liger(plan, context)),
        "weight_decay": train.weight_decay,
        "max_grad_norm": train.max_grad_norm,
        "gradient_checkpointing": train.gradient_checkpointing is True,
        **optimizer.arguments(train),
        "bf16": plan.model.dtype == "bfloat16" and plan.environment.device != "cpu",
        "fp16": plan.model.dtype == "float16" and plan.environment.device == "cuda",
        "logging_steps": 1,
        "logging_strategy": "steps",
        "save_strategy": "steps",
        "save_steps": step.save_every,
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
    options = objectives.options(objective.name, train.objective)
    own = objective.arguments(options)
    own["per_device_train_batch_size"] = step.micro_batch * objective.per_row(options)
    return dict(sorted({**arguments, **own, **train.trl}.items()))


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


def _too_few(plan: Plan, context: Context, units: _Units) -> Iterator[Finding]:
    """A micro-batch, or a pass over the rows, with fewer rows than the objective needs at a time."""
    assert plan.train is not None  # noqa: S101 - it has just been filled in
    assert plan.objective is not None  # noqa: S101 - the order of the passes
    name, train = plan.objective.name, plan.train
    if train.micro_batch < units.least:
        message = f"{name} needs {units.least} rows or more at a time, to see how far the model has moved"
        helps = ("write micro_batch = 2 or more", 'or take loss = "apo_zero_unpaired" under train.objective')
        yield Finding("FTC506", message, context.origins.value("train", "micro_batch"), help=helps)
    if plan.objective.batches == "prompts" and train.batch > units.count:
        message = f"a step of {name} takes {train.batch} prompts, and there are {units.count} to train on"
        span = context.origins.value("train", "batch")
        yield Finding("FTC506", message, span, help=(f"write batch = {units.count} or less",))


def run(plan: Plan, context: Context) -> Outcome:
    """Derive the steps from the compiled rows, and the trainer's arguments from the whole plan."""
    assert plan.data is not None  # noqa: S101 - the order of the passes
    assert plan.objective is not None  # noqa: S101
    train, objective = context.recipe.train, objectives.load(plan.objective.name)
    units = _Units.of(plan, plan.data)
    batch, batch_choices = _batch(train, units)
    micro, micro_choices = _micro_batch(train, batch, units)
    steps, epochs, step_choices = _steps(train, units, batch, objective)
    rate, rate_choices = _learning_rate(context, objective)
    options = training_options.settled(plan, context, steps)
    if has_errors(options.findings):
        return Outcome(plan, options.findings)
    save = train.save_every or ceil(steps / CHECKPOINTS)
    save_choices = (
        ()
        if train.save_every
        else (choice("train.save_every", save, f"{CHECKPOINTS} checkpoints over the run, to resume from"),)
    )
    step = TrainStep(
        steps=steps,
        epochs=epochs,
        batch=batch,
        micro_batch=micro,
        accumulation=batch // micro,
        save_every=save,
        arguments={},
        watch=options.watch,
        divergence=train.divergence,
        deterministic=train.deterministic is not False,
        varies=training_options.varies(plan, context),
    )
    step = step.model_copy(update={"arguments": trainer_arguments(plan, context, step, rate)})
    draft = Draft(Fit(micro, train.gradient_checkpointing is True), micro_choices)
    settled = settle(_tried(plan, context, step), context, draft, units.tokens)
    choices = batch_choices + step_choices + settled.choices + rate_choices + options.choices + save_choices
    tuned = counted(plan, context)
    plan = filled(plan, choices, train=with_fit(step, settled.fit), tune=tuned)
    wrong = (*_unfit(plan, context), *_too_few(plan, context, units), *optimizer.findings(plan, context))
    return Outcome(plan, (*wrong, *options.findings, *settled.findings))


def _tried(plan: Plan, context: Context, step: TrainStep) -> Plan:
    """The plan with its training step and what will be evaluated, as far as memory hangs on it."""
    evaluated = evaluation.run(plan, context).plan.eval
    return plan.model_copy(update={"train": step, "eval": evaluated})
