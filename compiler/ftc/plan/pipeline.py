"""The passes in their one order, and the loop that runs them."""

from __future__ import annotations

from ftc.plan.context import Context, Outcome, Pass
from ftc.plan.passes import data, evaluation, inputs, limits, objective, render, schedule, split, tune
from ftc.plan.steps import Plan
from ftc.plan.verify import verify

PASSES: tuple[tuple[str, Pass], ...] = (
    ("inputs", inputs.run),
    ("objective", objective.run),
    ("render", render.run),
    ("limits", limits.run),
    ("split", split.run),
    ("tune", tune.run),
    ("data", data.run),  # needs the query, the rendering, the limits and the split
    ("schedule", schedule.run),  # counts steps from the compiled rows
    ("evaluation", evaluation.run),  # metrics follow from the compiled answers
)
NAMES = tuple(name for name, _ in PASSES)


def run_passes(plan: Plan, context: Context, *, after: str | None = None) -> Outcome:
    """Run the passes in order, verifying the plan between them; stop after `after`, or at an error."""
    outcome = Outcome(plan)
    for name, step in PASSES:
        done = step(outcome.plan, context)
        outcome = Outcome(done.plan, outcome.findings + done.findings)
        if not done.ok:
            return outcome
        verify(outcome.plan, name)
        if name == after:
            return outcome
    verify(outcome.plan, "end")
    return outcome
