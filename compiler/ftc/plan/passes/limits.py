"""Fix how long a row may be."""

from __future__ import annotations

from ftc.diagnostics import Finding
from ftc.estimate.requested import AUTO
from ftc.plan import fitting
from ftc.plan.context import Context, Outcome, choice, filled
from ftc.plan.passes import packing, tune
from ftc.plan.passes.schedule import trainer_arguments
from ftc.plan.steps import Choice, LimitStep, Plan, TrainStep

KEY = "data.max_length"


def run(plan: Plan, context: Context) -> Outcome:
    """Take the recipe's limit, the longest row that fits the device if asked for, or the model's context."""
    assert plan.model is not None  # noqa: S101 - the order of the passes
    data, answers = context.recipe.data, _sampled(plan)
    context_length = plan.model.context_length - answers
    stated = data.max_length
    if isinstance(stated, int) and stated > context_length:
        finding = Finding(
            "FTC506",
            f"max_length is {stated}, but the model has positions for {plan.model.context_length} tokens"
            + (f", of which sampled answers take {answers}" if answers else ""),
            context.origins.value("data", "max_length"),
            help=(f"write max_length = {context_length} or less",),
        )
        return Outcome(plan, (finding,))
    if data.too_long == "split" and plan.render is not None and plan.render.form != "text":
        finding = Finding(
            "FTC107",
            'too_long is "split", but the rows have answers, and their later parts would have no prompt',
            context.origins.value("data", "too_long"),
            help=('write too_long = "drop" or "truncate"; whole documents (a column `text`) can be split',),
        )
        return Outcome(plan, (finding,))
    if isinstance(stated, int):
        return _limited(plan, context, stated)
    if stated == AUTO:
        length, reason, findings = fitting.longest_row(_tried(plan, context), context, context_length)
        return _limited(plan, context, length, choice(KEY, length, reason), findings=findings)
    behind = f" without the {answers} tokens of a sampled answer" if answers else ""
    reason = f"the model's context{behind}; no row is padded to it"
    return _limited(plan, context, context_length, choice(KEY, context_length, reason))


def _sampled(plan: Plan) -> int:
    """Tokens of the answers that the objective samples behind each row."""
    longest = plan.objective.options.get("max_new_tokens") if plan.objective else None
    return longest if isinstance(longest, int) else 0


def _limited(
    plan: Plan, context: Context, length: int, *choices: Choice, findings: tuple[Finding, ...] = ()
) -> Outcome:
    data = context.recipe.data
    limits = LimitStep(max_length=length, too_long=data.too_long, invalid=data.invalid)
    return Outcome(filled(plan, choices, limits=limits), findings)


def _tried(plan: Plan, context: Context) -> Plan:
    """The plan with what later passes will say of its training step, as far as no row is needed for that."""
    recipe = context.recipe
    step = TrainStep(
        steps=1,
        epochs=1.0,
        batch=recipe.train.batch,
        micro_batch=1,
        accumulation=recipe.train.batch,
        save_every=1,
        arguments={},
    )
    step = step.model_copy(update={"arguments": trainer_arguments(plan, context, step, 0.0)})
    return plan.model_copy(
        update={
            "tune": tune.run(plan, context).plan.tune,
            "packing": packing.run(plan, context).plan.packing,
            "train": step,
        }
    )
