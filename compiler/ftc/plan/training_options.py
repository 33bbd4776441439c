"""Options of training beside batch and rate: regularisation, kernels, the compiler, and what is watched."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from pydantic import JsonValue

from ftc import objectives
from ftc.diagnostics import Finding, Severity
from ftc.facts.kernels import INSTALL
from ftc.plan import learning_rate
from ftc.plan.context import Context, choice
from ftc.plan.steps import Choice, Plan, WatchStep
from ftc.recipe.evaluation import Eval, suites_of
from ftc.recipe.training import Train

TOKENS = "trl:SFTConfig"
"""The config of objectives whose loss is that of each trained token."""

EVALUATIONS = 10
"""Evaluations of the held-out loss in a run, unless the recipe says how many."""


def arguments(train: Train, *, liger: bool) -> dict[str, JsonValue]:
    """The config's fields of the options that are on; those that are off are left at their defaults."""
    found: dict[str, JsonValue] = {}
    if train.label_smoothing:
        found["label_smoothing_factor"] = train.label_smoothing
    if train.neftune is not None:
        found["neftune_noise_alpha"] = train.neftune
    if train.compile:
        found["torch_compile"] = True
    if liger:
        found["use_liger_kernel"] = True
    return found


def uses_liger(plan: Plan, context: Context) -> bool:
    """Whether Liger's kernels take the place of the model's own."""
    return _kernels(plan, context)[0] == "liger"


def _kernels(plan: Plan, context: Context) -> tuple[str, str]:
    """What is taken, and why."""
    assert plan.environment is not None  # noqa: S101 - the order of the passes
    stated = context.recipe.train.kernels
    if stated in ("liger", "none"):
        return stated, ""
    if plan.environment.device != "cuda":
        return "none", f"Liger's kernels run on GPUs, and this is planned for {plan.environment.device}"
    return _for_model(context)


def _for_model(context: Context) -> tuple[str, str]:
    return context.facts.kernels.for_model(str(context.facts.model.config.get("model_type", "")))


def choices(plan: Plan, context: Context) -> tuple[Choice, ...]:
    """The kernels, where the recipe leaves them open and there is something to choose."""
    assert plan.environment is not None  # noqa: S101 - the order of the passes
    stated, (taken, reason) = context.recipe.train.kernels, _kernels(plan, context)
    found = []
    if stated == "auto" or (stated is None and plan.environment.device == "cuda"):
        found.append(choice("train.kernels", taken, reason))
    if context.recipe.train.deterministic is None and plan.environment.device != "cpu":
        reason = "sums in a fixed order give the same weights again; the last bits may still change by: "
        found.append(choice("train.deterministic", True, reason + ", ".join(varies(plan, context))))
    return tuple(found)


def varies(plan: Plan, context: Context) -> tuple[str, ...]:
    """What may change the last bits of the weights between two runs of a plan; nothing on one kind of CPU."""
    assert plan.environment is not None  # noqa: S101 - the order of the passes
    train, device = context.recipe.train, plan.environment.device
    if device == "cpu":
        return ()
    found = ["another GPU, driver or library"] if device == "cuda" else ["another machine or system"]
    if train.deterministic is False:
        found.append("sums in any order")
    if plan.tune is not None and plan.tune.quantise is not None:
        found.append("bitsandbytes' kernels")
    if uses_liger(plan, context):
        found.append("Liger's kernels")
    if train.compile:
        found.append("kernels that torch.compile picks by their speed")
    return tuple(found)


def findings(plan: Plan, context: Context) -> tuple[Finding, ...]:
    """What of the options does not fit the objective, or is not installed."""
    return (*_smoothing(plan, context), *_liger(plan, context), *_compiler(plan, context))


UNWATCHED = {
    "prompts": "has none: its loss says nothing of how well the model does",
    "members": "compares the texts of a batch with each other, so that it would hang on the batches",
}
"""Kinds of batches without a held-out loss, and why."""


def _learns_tokens(plan: Plan) -> bool:
    return plan.objective is not None and plan.objective.config == TOKENS


def _smoothing(plan: Plan, context: Context) -> tuple[Finding, ...]:
    """Labels are smoothed where they are tokens; TRL's trainer does it by another forward pass."""
    train, origins = context.recipe.train, context.origins
    if not train.label_smoothing or plan.objective is None:
        return ()
    span = origins.value("train", "label_smoothing")
    if _learns_tokens(plan):
        message = "label smoothing makes all logits: TRL runs the model forward twice in each step"
        help_lines = ("remove `label_smoothing` if time or memory is short",)
        return (Finding("FTC551", message, span, help=help_lines, severity=Severity.NOTE),)
    name = plan.objective.name
    message = f"`train.label_smoothing` is about the next token, which {name} does not learn"
    own = "label_smoothing" in objectives.load(name).options.model_fields
    instead = f'write objective = {{ name = "{name}", label_smoothing = {train.label_smoothing:g} }}'
    return (Finding("FTC551", message, span, help=(instead if own else "remove it",)),)


def _liger(plan: Plan, context: Context) -> tuple[Finding, ...]:
    """Liger's kernels where they are asked for and cannot be had."""
    assert plan.environment is not None  # noqa: S101 - the order of the passes
    if context.recipe.train.kernels != "liger":
        return ()
    span = context.origins.value("train", "kernels")
    if plan.environment.device != "cuda":
        message = f"Liger's kernels run on GPUs, and this is planned for {plan.environment.device}"
        return (Finding("FTC552", message, span, help=('write kernels = "auto", or remove it',)),)
    taken, reason = _for_model(context)
    if taken == "liger":
        return ()
    return (Finding("FTC552", f"Liger cannot be used: {reason}", span, help=(INSTALL,)),)


def _compiler(plan: Plan, context: Context) -> tuple[Finding, ...]:
    """On the CPU `torch.compile` writes C++."""
    assert plan.environment is not None  # noqa: S101 - the order of the passes
    here = plan.environment.device != "cpu" or context.facts.kernels.compiler
    if not context.recipe.train.compile or here:
        return ()
    message = "`train.compile` needs a C++ compiler on the CPU, and none is installed"
    help_lines = ("install g++ or clang++, or name yours in the variable CXX", "or remove `compile`")
    return (Finding("FTC552", message, context.origins.value("train", "compile"), help=help_lines),)


@dataclass(frozen=True)
class Settled:
    """What is watched while training, and the choices and findings about all options."""

    watch: WatchStep | None
    choices: tuple[Choice, ...]
    findings: tuple[Finding, ...]


def settled(plan: Plan, context: Context, steps: int) -> Settled:
    """The options beside batch and peak rate, for a run of so many steps."""
    train = context.recipe.train
    watch, watching, watch_findings = _watched(plan, context, steps)
    chosen = (*learning_rate.choices(train), *choices(plan, context), *watching)
    found = (*learning_rate.findings(train, steps, context.origins), *findings(plan, context))
    return Settled(watch, chosen, (*found, *watch_findings))


def _watched(
    plan: Plan, context: Context, steps: int
) -> tuple[WatchStep | None, tuple[Choice, ...], tuple[Finding, ...]]:
    """The held-out loss while training, with the choices and findings about it."""
    train = context.recipe.train
    stopping, key = train.early_stopping, _reason_to_watch(train)
    if key is None or plan.data is None:
        return None, (), ()
    problem = _unwatchable(plan, context, key)
    if problem is not None:
        return None, (), (problem,)
    every = train.eval_every or ceil(steps / EVALUATIONS)
    reason = f"{EVALUATIONS} evaluations over the run, for `train.{key}`"
    chosen = () if train.eval_every else (choice("train.eval_every", every, reason),)
    watch = WatchStep(
        every=every,
        batch=_batch(context),
        patience=stopping.patience if stopping else None,
        min_delta=stopping.min_delta if stopping else 0.0,
        keep=train.keep,
    )
    return watch, chosen, _too_seldom(watch, steps, context)


def _reason_to_watch(train: Train) -> str | None:
    """The key for which the held-out loss is evaluated while training."""
    if train.eval_every:
        return "eval_every"
    if train.early_stopping:
        return "early_stopping"
    return "keep" if train.keep == "best" else None


def _unwatchable(plan: Plan, context: Context, key: str) -> Finding | None:
    assert plan.data is not None  # noqa: S101 - the caller has looked
    span = context.origins.key("train", key)
    assert plan.objective is not None  # noqa: S101 - the order of the passes
    if plan.objective.batches in UNWATCHED:
        why = UNWATCHED[plan.objective.batches]
        message = f"`train.{key}` looks at a held-out loss, and {plan.objective.name} {why}"
        return Finding("FTC551", message, span, help=(f"remove `{key}`",))
    of_tokens = plan.objective.batches == "rows"
    if plan.data.eval is None or (of_tokens and not plan.data.eval.trained_tokens):
        message = f"`train.{key}` looks at the held-out rows, and none is held out"
        return Finding("FTC551", message, span, help=("write split = { eval = 0.1 } in [data]",))
    return None


def _too_seldom(watch: WatchStep, steps: int, context: Context) -> tuple[Finding, ...]:
    """Early stopping that could never stop."""
    if watch.patience is None or steps > watch.every * watch.patience:
        return ()
    evaluations = ceil(steps / watch.every)
    message = (
        f"early stopping cannot come to pass: a patience of {watch.patience} evaluations "
        f"needs more than the {evaluations} there are in {steps} steps"
    )
    helps = ("write a smaller eval_every, or a smaller patience",)
    span = context.origins.value("train", "early_stopping")
    return (Finding("FTC550", message, span, help=helps, severity=Severity.WARNING),)


def _batch(context: Context) -> int:
    """Rows at a time, as the suite of the held-out rows has it."""
    own = (suite.batch for _, suite in suites_of(context.recipe.eval) if not suite.own_rows)
    return next(own, Eval().batch)
