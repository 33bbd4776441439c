"""Compile the rows: query, render, mask, tokenise, split, account."""

from __future__ import annotations

from ftc.plan.context import Context, Outcome, filled
from ftc.plan.steps import Plan


def run(plan: Plan, context: Context) -> Outcome:
    """Run the data compiler on the plan so far; its result is a function of that plan alone."""
    compiled = context.compile_data(plan)
    if compiled.step is None:
        return Outcome(plan, compiled.findings)
    return Outcome(filled(plan, data=compiled.step), compiled.findings)
