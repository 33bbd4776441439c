"""Fix how long a row may be."""

from __future__ import annotations

from ftc.diagnostics import Finding
from ftc.plan.context import Context, Outcome, choice, filled
from ftc.plan.steps import LimitStep, Plan


def run(plan: Plan, context: Context) -> Outcome:
    """Take the recipe's limit, or the model's context."""
    assert plan.model is not None  # noqa: S101 - the order of the passes
    data, context_length = context.recipe.data, plan.model.context_length
    stated = data.max_length
    if stated is not None and stated > context_length:
        finding = Finding(
            "FTC506",
            f"max_length is {stated}, but the model has positions for {context_length} tokens",
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
    limits = LimitStep(max_length=stated or context_length, too_long=data.too_long, invalid=data.invalid)
    reason = "the model's context; no row is padded to it"
    chosen = () if stated else (choice("data.max_length", context_length, reason),)
    return Outcome(filled(plan, chosen, limits=limits))
