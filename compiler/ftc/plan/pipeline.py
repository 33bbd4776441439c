"""The passes in their one order, and the loop that runs them."""

from __future__ import annotations

from ftc.plan.context import Context, Outcome, Pass
from ftc.plan.passes import (
    data,
    evaluation,
    inputs,
    limits,
    lints,
    objective,
    packing,
    render,
    schedule,
    selection,
    sequences,
    split,
    suites,
    tune,
)
from ftc.plan.steps import Plan
from ftc.plan.verify import verify

PASSES: tuple[tuple[str, Pass], ...] = (
    ("inputs", inputs.run),
    ("objective", objective.run),
    ("render", render.run),
    ("limits", limits.run),
    ("selection", selection.run),
    ("split", split.run),
    ("tune", tune.run),
    ("packing", packing.run),  # a model that cannot is refused before the rows are compiled
    ("data", data.run),  # needs the query, the rendering, the limits, the selection and the split
    ("suites", suites.run),  # their rows are compared with the compiled ones
    ("sequences", sequences.run),  # needs the compiled rows' lengths
    ("schedule", schedule.run),  # counts steps from the compiled rows, or their sequences
    ("evaluation", evaluation.run),  # metrics follow from the compiled answers
    ("lints", lints.run),  # what is odd in the rows, and too few rows for the metrics
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
        verify(outcome.plan, name, estimated=context.estimated)
        if name == after:
            return outcome
    verify(outcome.plan, "end", estimated=context.estimated)
    return outcome
