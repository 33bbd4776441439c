"""Compile the rows: query, render, mask, tokenise, split, account."""

from __future__ import annotations

from ftc.plan.context import Context, Outcome, choice, filled
from ftc.plan.steps import Choice, DataStep, MixedRows, Plan


def run(plan: Plan, context: Context) -> Outcome:
    """Run the data compiler on the plan so far; its result is a function of that plan alone."""
    compiled = context.compile_data(plan)
    if compiled.step is None:
        return Outcome(plan, compiled.findings)
    return Outcome(filled(plan, _mixed(plan, compiled.step), data=compiled.step), compiled.findings)


def _mixed(plan: Plan, data: DataStep) -> tuple[Choice, ...]:
    """How many rows of each query of a mix a pass trains on, and why so many."""
    if not data.mix:
        return ()
    repeats = {query.name: query.repeat for query in plan.queries or ()}
    spent = [f"`{rows.query}`" for rows in data.mix if rows.trained == rows.rows * repeats[rows.query]]
    ends = f" until {' and '.join(spent)} {'is' if len(spent) == 1 else 'are'} exhausted" if spent else ""
    reason = (
        f"a pass takes training rows in the proportion of the weights{ends}, each at most `repeat` times; "
        "those with the smallest hashes of their ids first"
    )
    return (choice("data.mix", {rows.query: _counts(rows) for rows in data.mix}, reason),)


def _counts(rows: MixedRows) -> str:
    times = f", trained {rows.trained:,} times in all" if rows.trained != rows.used else ""
    return f"{rows.used:,} of {rows.rows:,} rows{times}"
