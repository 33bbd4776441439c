"""Decide what is measured on the held-out rows, before and after."""

from __future__ import annotations

from ftc.plan.context import Context, Outcome, choice, filled
from ftc.plan.steps import DataStep, Plan
from ftc.plan.suite_settings import Measured, settled, with_baselines


def _measured(plan: Plan, data: DataStep) -> Measured:
    """What the held-out rows allow."""
    if plan.objective is None or plan.objective.batches != "prompts":
        return Measured(data.classes or data.labels or (), data.longest_target)
    rewards = tuple(dict.fromkeys(step.metric for step in plan.objective.rewards if step.metric))
    references = plan.render is not None and "reference" in plan.render.carried
    longest = plan.objective.options["max_new_tokens"]
    assert isinstance(longest, int)  # noqa: S101 - the type of the option
    return Measured((), longest - 1, references=references, rewards=rewards)


def run(plan: Plan, context: Context) -> Outcome:
    """Measure the loss, and the answers where they are short or from a closed set."""
    data = plan.data
    assert data is not None  # noqa: S101 - the order of the passes
    held = [suite for suite in context.facts.suites if not suite.settings.own_rows]
    if data.eval is None or not held:
        return Outcome(plan)
    measured = _measured(plan, data)
    if measured.rewards == () and all(suite.settings.metrics is None for suite in held):
        reason = "no reward is a metric by its name; name some in [eval]: metrics"
        return Outcome(filled(plan, (choice("eval.metrics", [], reason),)))
    found = [settled(suite, measured, plan, context) for suite in held]
    findings = tuple(finding for one in found for finding in one.findings)
    if findings:
        return Outcome(plan, findings)
    steps = [
        with_baselines(one.step, suite, plan, context)
        for one, suite in zip(found, held, strict=True)
        if one.step is not None
    ]
    findings = tuple(finding for _, more in steps for finding in more)
    choices = tuple(choice for one in found for choice in one.choices)
    (first, _), *others = steps
    suites = (*plan.suites, *(step for step, _ in others))
    return Outcome(filled(plan, choices, eval=first, suites=suites), findings)
