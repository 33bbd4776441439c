"""Compile the rows: query, render, mask, tokenise, split, account."""

from __future__ import annotations

from ftc.diagnostics import Finding, Severity
from ftc.plan.context import Context, Outcome, filled
from ftc.plan.steps import DataStep, Plan


def run(plan: Plan, context: Context) -> Outcome:
    """Run the data compiler on the plan so far; its result is a function of that plan alone."""
    compiled = context.compile_data(plan)
    if compiled.step is None:
        return Outcome(plan, compiled.findings)
    return Outcome(filled(plan, data=compiled.step), compiled.findings + _shared(compiled.step, context))


def _shared(data: DataStep, context: Context) -> tuple[Finding, ...]:
    """A warning for held-out rows whose prompt is trained on: their answers measure memory."""
    shared = data.shared_prompts
    if shared.rows == 0:
        return ()
    rows = "one held-out row has" if shared.rows == 1 else f"{shared.rows:,} held-out rows have"
    return (
        Finding(
            "FTC608",
            f"{rows} a prompt that is trained on too",
            context.origins.value("data", "split"),
            help=(
                "leave repeated prompts out in the query",
                'or keep them on one side: split = { eval = …, group = "COLUMN" }',
            ),
            notes=(f"the first are {', '.join(shared.first_ids)}",),
            severity=Severity.WARNING,
        ),
    )
