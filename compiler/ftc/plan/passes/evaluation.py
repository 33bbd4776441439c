"""Decide what is measured on the held-out rows, before and after."""

from __future__ import annotations

from ftc.plan.context import Context, Outcome, filled
from ftc.plan.steps import Plan
from ftc.plan.suite_settings import Measured, settled


def run(plan: Plan, context: Context) -> Outcome:
    """Measure the loss, and the answers where they are short or from a closed set."""
    data = plan.data
    assert data is not None  # noqa: S101 - the order of the passes
    held = [suite for suite in context.facts.suites if not suite.settings.own_rows]
    if data.eval is None or not held:
        return Outcome(plan)
    measured = Measured(data.labels or (), data.longest_target)
    found = [settled(suite, measured, plan, context) for suite in held]
    findings = tuple(finding for one in found for finding in one.findings)
    if findings:
        return Outcome(plan, findings)
    first, *others = [one.step for one in found]
    others_ = tuple(step for step in others if step is not None)
    choices = tuple(choice for one in found for choice in one.choices)
    return Outcome(filled(plan, choices, eval=first, suites=(*plan.suites, *others_)))
