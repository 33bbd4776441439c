"""A plan's step tried on the device that the plan is for: what fits there, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ftc.diagnostics import Finding, Severity
from ftc.estimate import catalogue
from ftc.estimate.architecture import InexpressibleError
from ftc.estimate.closed_form import estimate
from ftc.estimate.fallback import at_hand
from ftc.estimate.fit import GRAIN, RECOMPUTED, Fit, Needed, Question, Target, fit, gib, longest, needed, room
from ftc.estimate.lowering import Config, Configs, Rows, training_step
from ftc.estimate.requested import AUTO, requested_gpu
from ftc.estimate.step import TrainingStep
from ftc.facts.machine import CudaDevice
from ftc.plan.advice import advice
from ftc.plan.context import Context, choice
from ftc.plan.steps import Choice, Plan, TrainStep

HERE = "this machine"
MICRO, AGAIN = "train.micro_batch", "train.gradient_checkpointing"
ESTIMATE = "memory estimate"


def target_of(plan: Plan, context: Context) -> Target:
    """The device that the plan is for, with what is known of it."""
    named, own = requested_gpu(context.recipe), context.facts.gpu
    open_ = context.recipe.hardware.gpu == AUTO
    return target_on(plan, named, None if open_ else own, context.facts.memory)


def target_on(
    plan: Plan, named: catalogue.Device | None, own: CudaDevice | None, memory: int | None
) -> Target:
    """The GPU that is `named` for a plan, or else this machine's own device, which has so much `memory`."""
    assert plan.environment is not None  # noqa: S101 - the order of the passes
    if named is not None:
        return Target(named.name, named.memory, named.capability, stated=True)
    if plan.environment.device == "cpu":
        return Target(HERE, memory)
    if plan.environment.device == "mps" or own is None:
        return Target("the GPU", None)
    known = catalogue.find(own.name)
    return Target(known.name if known else own.name, own.memory, "sm_{}{}".format(*own.capability))


def with_fit(train: TrainStep, chosen: Fit) -> TrainStep:
    """The training step with a micro-batch and with checkpointing or without."""
    more = max(1, train.batch // chosen.micro_batch)
    taken = int(str(train.arguments.get("per_device_train_batch_size", train.micro_batch)))
    options = {  # a row may be several of the trainer's: all answers that are sampled to a prompt
        "per_device_train_batch_size": chosen.micro_batch * max(1, taken // train.micro_batch),
        "gradient_accumulation_steps": more,
        "gradient_checkpointing": chosen.checkpointing,
    }
    arguments = {**train.arguments, **options}
    changes = {"micro_batch": chosen.micro_batch, "accumulation": more, "arguments": arguments}
    return train.model_copy(update=changes)


@dataclass(frozen=True)
class Trial:
    """A plan with a training step, to be tried with other micro-batches on a device.

    `rows` and `held_out` stand for compiled rows where there are none yet.
    """

    plan: Plan
    config: Config
    target: Target
    headroom: float
    others: Configs = field(default_factory=dict)
    rows: Rows | None = None
    held_out: Rows | None = None

    @property
    def limit(self) -> int:
        """Bytes that may be filled."""
        return room(self.target.memory or 0, self.headroom)

    def step(self, micro: int, again: bool) -> TrainingStep:
        """The step with a micro-batch, with or without checkpointing. Raises InexpressibleError."""
        train = self.plan.train
        assert train is not None  # noqa: S101 - the caller's to see to
        plan = self.plan.model_copy(update={"train": with_fit(train, Fit(micro, again))})
        return training_step(
            plan,
            self.config,
            device=self.target,
            rows=self.rows,
            held_out=self.held_out,
            others=self.others,
        )

    def needed(self, micro: int, again: bool) -> Needed:
        """What it needs there."""
        return needed(self.step(micro, again))

    def words(self, needs: Needed) -> str:
        """The peak beside the device's memory."""
        memory, name = gib(self.target.memory or 0), self.target.name
        of = f"this machine's {memory}" if name == HERE else f"{memory} on {name}"
        return f"peak {gib(needs.bytes)} of {of} ({needs.estimate.segment})"


@dataclass(frozen=True)
class Settled:
    """The micro-batch and checkpointing to take, and what is said of them."""

    fit: Fit
    choices: tuple[Choice, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Draft:
    """What would be taken without an estimate: the micro-batch, checkpointing, and the choices for that."""

    fit: Fit
    choices: tuple[Choice, ...]


def settle(plan: Plan, context: Context, draft: Draft, tokens: float) -> Settled:
    """The draft where it fits the device or nothing is known of that; else, or if asked for, what fits.

    `plan` has the draft's training step and what is evaluated; `tokens` are those of a usual row.
    """
    target, key = target_of(plan, context), _open(context)
    if context.recipe.hardware.gpu == AUTO and target.memory is None:
        return _as_drafted(draft, context)
    if target.memory is None:
        unknown = f"nothing says how much memory {target.name} has"
        return _as_drafted(draft, context, *((_unknown(context, unknown, key),) if key else ()))
    trial = _trial(plan, context, target)
    matters = key is not None or target.stated
    try:
        if not matters:
            with at_hand(None):  # an abstract run takes seconds, and nothing would hang on it
                return _Solver(trial, context, draft, tokens).settled()
        settled = _Solver(trial, context, draft, tokens).settled()
        return replace(settled, choices=settled.choices + _by_abstract_run(trial, settled.fit))
    except InexpressibleError as error:
        told = (_unknown(context, str(error), key),) if matters else ()
        return _as_drafted(draft, context, *told)


def _by_abstract_run(trial: Trial, taken: Fit) -> tuple[Choice, ...]:
    """That the step was run abstractly, where the closed form has no account of it, and why it has none."""
    try:
        estimate(trial.step(taken.micro_batch, taken.checkpointing))
    except InexpressibleError as error:
        return (choice(ESTIMATE, "abstract run", f"the closed form does not serve: {error}"),)
    return ()


def _trial(plan: Plan, context: Context, target: Target) -> Trial:
    facts = context.facts
    return Trial(plan, facts.model.config, target, context.recipe.hardware.headroom, facts.others)


def _open(context: Context) -> tuple[str, str] | None:
    """The setting under [train] that is left to the estimate, if one is."""
    train = context.recipe.train
    names = ("micro_batch", "gradient_checkpointing")
    return next((("train", name) for name in names if getattr(train, name) == AUTO), None)


def _as_drafted(draft: Draft, context: Context, *findings: Finding) -> Settled:
    choices = draft.choices
    if context.recipe.train.gradient_checkpointing == AUTO:
        choices += (choice(AGAIN, draft.fit.checkpointing, "what fits the device is not known"),)
    return Settled(draft.fit, choices, findings)


def _unknown(context: Context, reason: str, key: tuple[str, str] | None = None) -> Finding:
    """Memory could not be estimated, which matters most where something hangs on it: the setting `key`."""
    open_ = key is not None
    span = context.origins.value(*key) if key else context.origins.value("hardware", "gpu")
    help_line = f"write a value for {key[1]}" if key else ""
    if reason.startswith("nothing says"):
        help_line = f'name the device: gpu = "L4" under [hardware]; or {help_line}'
    return Finding(
        "FTC863",
        f"what fits the device is not known: {reason}",
        span,
        help=(help_line,) if open_ else (),
        severity=Severity.WARNING if open_ else Severity.NOTE,
    )


@dataclass(frozen=True)
class _Solver:
    trial: Trial
    context: Context
    draft: Draft
    tokens: float

    def settled(self) -> Settled:
        """What to take, with its choices and findings."""
        train = self.context.recipe.train
        stated = isinstance(train.micro_batch, int)
        again = None if train.gradient_checkpointing == AUTO else bool(train.gradient_checkpointing)
        draft = self.draft.fit
        if stated:
            return self._stated(draft.micro_batch, again)
        if train.micro_batch is None and again is not None:
            needs = self.trial.needed(draft.micro_batch, again)
            if needs.bytes <= self.trial.limit:
                return Settled(draft, self.draft.choices)
        return self._found(again)

    def _question(self, batch: int) -> Question:
        tune = self.trial.plan.tune
        full = tune is None or tune.peft is None
        recomputed = RECOMPUTED["full" if full else "lora"]
        return Question(batch, self.trial.limit, self.tokens, recomputed, self._least)

    @property
    def _least(self) -> int:
        """Rows that a micro-batch must have: two where others of it tell the model's drift."""
        return 2 if self.trial.step(2, False).objective.drift else 1

    def _need(self, micro: int, again: bool) -> int:
        return self.trial.needed(micro, again).bytes

    def _stated(self, micro: int, again: bool | None) -> Settled:
        """The recipe's micro-batch, with checkpointing only if it needs that."""
        options = (False, True) if again is None else (again,)
        needs = self.trial.needed(micro, options[0])
        chosen = options[0]
        choices: tuple[Choice, ...] = ()
        if again is None:
            if needs.bytes > self.trial.limit:
                chosen, needs = True, self.trial.needed(micro, True)
            choices = (self._again(chosen, needs, micro),)
        found = self._verdict(micro, chosen, needs, "FTC862")
        return Settled(Fit(micro, chosen), choices, found)

    def _again(self, chosen: bool, needs: Needed, micro: int) -> Choice:
        told = self.trial.words(needs)
        if not chosen:
            return choice(AGAIN, False, f"it fits without: {told}")
        plain = self.trial.needed(micro, False)
        if plain.bytes > self.trial.limit:
            rows = "one row at a time" if micro == 1 else f"the micro-batch of {micro}"
            return choice(AGAIN, True, f"without it {rows} needs {gib(plain.bytes)}; with it {told}")
        return choice(AGAIN, True, "more rows at a time make up for computing activations again")

    def _found(self, again: bool | None) -> Settled:
        """The largest micro-batch that fits; one row, with a finding, where none does."""
        assert self.trial.plan.train is not None  # noqa: S101 - the pass has filled it
        batch = self.trial.plan.train.batch
        found = fit(self._need, self._question(batch), again)
        taken = found or Fit(self._least, True if again is None else again)
        needs = self.trial.needed(taken.micro_batch, taken.checkpointing)
        choices = [choice(MICRO, taken.micro_batch, self._reason(taken, needs, batch))]
        if again is None:
            choices.append(self._again(taken.checkpointing, needs, self._least))
        findings = () if found else self._verdict(taken.micro_batch, taken.checkpointing, needs, "FTC860")
        return Settled(taken, tuple(choices), findings)

    def _reason(self, taken: Fit, needs: Needed, batch: int) -> str:
        told = self.trial.words(needs)
        if needs.bytes > self.trial.limit:
            return f"the least there is: {told}"
        what = "the whole batch" if taken.micro_batch == batch else "the largest part of the batch that fits"
        return f"{what}: {told}, {self.trial.headroom:.0%} left free"

    def _verdict(self, micro: int, again: bool, needs: Needed, code: str) -> tuple[Finding, ...]:
        """What is said of a step that needs more than it should: it may just fit, or not at all."""
        if needs.bytes <= self.trial.limit:
            return ()
        tight = needs.bytes <= room(self.trial.target.memory or 0, 0)
        hard = self.trial.target.stated or _open(self.context) is not None
        span = self.context.origins.value("train", "micro_batch") or self.context.origins.value(
            "hardware", "gpu"
        )
        rows = "one row at a time" if micro == 1 else f"micro_batch = {micro}"
        told = self.trial.words(needs)
        if tight:
            message = f"{rows} will hardly fit: {told}"
            severity = Severity.WARNING
            code = "FTC861"
        else:
            message = f"{rows} does not fit: {told}"
            severity = Severity.ERROR if hard else Severity.WARNING
        helps = advice(self.trial, micro, again) if self.context.advises else ()
        return (Finding(code, message, span, help=helps, severity=severity),)


def longest_row(plan: Plan, context: Context, most: int) -> tuple[int, str, tuple[Finding, ...]]:
    """The longest row that fits the device one at a time, at most `most` tokens; why; and what is said of it.

    `plan` has a training step of one row. Evaluation is left out: how many logits it makes hangs on the
    answers, which are not compiled yet. It is the model's context where memory cannot be estimated.
    """
    target = target_of(plan, context)
    reason = "the model's context; what fits the device is not known"
    if context.recipe.hardware.gpu == AUTO and target.memory is None:
        return most, reason, ()
    if target.memory is None:
        told = f"nothing says how much memory {target.name} has"
        return most, reason, (_unknown(context, told, LENGTH),)
    trial = _trial(plan, context, target)
    again = bool(context.recipe.train.gradient_checkpointing)
    try:
        found = longest(lambda tokens: _of(trial, tokens).needed(1, again).bytes, most, trial.limit)
        taken = _of(trial, found or GRAIN)
        needs = taken.needed(1, again)
    except InexpressibleError as error:
        return most, reason, (_unknown(context, str(error), LENGTH),)
    what = "the model's context, which fits" if found == most else "the longest row that fits by itself"
    message = f"not even rows of {GRAIN} tokens fit one at a time: {trial.words(needs)}"
    helps = advice(taken, 1, again) if context.advises and not found else ()
    finding = Finding("FTC860", message, context.origins.value(*LENGTH), help=helps)
    return found or GRAIN, f"{what}: {trial.words(needs)}", () if found else (finding,)


LENGTH = ("data", "max_length")


def _of(trial: Trial, length: int) -> Trial:
    """The trial over rows that are all of one length."""
    packed = trial.plan.packing is not None and trial.plan.packing.packed
    return replace(trial, rows=Rows(1, length, length, packed=packed))
