"""Compile the rows of the suites that have rows of their own, and settle what is measured on them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ftc import objectives
from ftc.diagnostics import Finding, has_errors
from ftc.facts.suites import SuiteFacts
from ftc.facts.tasks import Tasks
from ftc.plan.context import Context, Outcome, SuiteRequest, choice, filled
from ftc.plan.passes import objective, render
from ftc.plan.passes.inputs import query_step
from ftc.plan.steps import Choice, EvalStep, LimitStep, Plan
from ftc.plan.suite_settings import FREE_ANSWER, Measured, settled, stated_gates, with_baselines
from ftc.recipe.suggest import listed


def run(plan: Plan, context: Context) -> Outcome:
    """Each suite's rows are rendered as the training rows are, and compiled to a file of their own."""
    steps: list[EvalStep] = []
    choices: list[Choice] = []
    findings: list[Finding] = []
    for suite in context.facts.suites:
        if suite.query is None and suite.tasks is None:
            continue
        found = _suite(suite, plan, context) if suite.tasks is None else _tasks(suite, suite.tasks, plan)
        findings += found.findings
        if isinstance(found, _Compiled):
            steps.append(found.step)
            choices += found.choices
    if has_errors(findings):
        return Outcome(plan, tuple(findings))
    return Outcome(filled(plan, tuple(choices), suites=tuple(steps)), tuple(findings))


@dataclass(frozen=True)
class _Compiled:
    """A suite's step with what was chosen and found."""

    step: EvalStep
    choices: tuple[Choice, ...]
    findings: tuple[Finding, ...]


def _tasks(suite: SuiteFacts, tasks: Tasks, plan: Plan) -> _Compiled | Outcome:
    """Tasks of the harness have rows and metrics of their own; it needs a model that writes text."""
    head = plan.objective.head if plan.objective else "vocabulary"
    if head != "vocabulary":
        message = f"tasks cannot be measured: the model gives {head} and writes no text"
        span = suite.origins.value(*suite.at, "tasks")
        return Outcome(plan, (Finding("FTC507", message, span, help=("measure the held-out rows",)),))
    step = EvalStep(
        metrics=(),
        labels=(),
        max_new_tokens=FREE_ANSWER,
        batch=suite.settings.batch,
        name=suite.name,
        gates=stated_gates(suite.settings.gates),
        harness=tasks.step,
    )
    return _Compiled(step, _unpinned(suite, tasks), ())


def _unpinned(suite: SuiteFacts, tasks: Tasks) -> tuple[Choice, ...]:
    """That rows which the harness takes from a hub are those of its cache, and no part of the plan."""
    if not tasks.from_hub:
        return ()
    reason = (
        f"the rows of {listed(tasks.from_hub)} are those in the cache of `datasets` when they are measured,"
        f" the same for base and tuned; answers/{suite.name}.jsonl of the run keeps each question and answer"
    )
    return (choice(f"eval.{suite.name}.rows", "not pinned", reason),)


def _other_kind(suite: SuiteFacts, plan: Plan, own: Plan) -> Finding | None:
    """The finding for rows of another kind than those that the trained model reads."""
    if plan.objective is None or own.objective is None or plan.objective.head == own.objective.head:
        return None
    columns = objectives.load(plan.objective.name).shapes[-1].columns
    message = f"the rows of the suite `{suite.name}` are not what {plan.objective.name} trains on"
    span = suite.origins.value("data", "query") or suite.origins.value(*suite.at)
    return Finding("FTC563", message, span, help=(f"return the columns {listed(columns)}",))


def _unknown_classes(suite: SuiteFacts, unknown: list[str], classes: tuple[str, ...]) -> Finding:
    message = f"rows of the suite `{suite.name}` have classes that no training row has: {listed(unknown)}"
    span = suite.origins.value("data", "query") or suite.origins.value(*suite.at)
    help_ = ("leave them out in the query",)
    return Finding("FTC563", message, span, help=help_, notes=(f"the classes are {listed(classes)}",))


def _suite(suite: SuiteFacts, plan: Plan, context: Context) -> _Compiled | Outcome:
    assert suite.query is not None  # noqa: S101 - the caller has looked
    own = replace(
        context,
        recipe=suite.recipe,
        origins=suite.origins,
        facts=replace(context.facts, queries=(suite.query,), sources=suite.sources, held_out=None),
    )
    chosen = objective.run(plan, own)
    rendered = render.run(chosen.plan, own) if chosen.ok else chosen
    if not rendered.ok or rendered.plan.render is None or plan.model is None or plan.limits is None:
        return Outcome(plan, rendered.findings)
    other = _other_kind(suite, plan, chosen.plan)
    if other is not None:
        return Outcome(plan, (other,))
    step = rendered.plan.render.model_copy(
        update={"carried": tuple(column.name for column in suite.query.columns)}
    )
    limits = LimitStep(max_length=plan.model.context_length, too_long="drop", invalid=plan.limits.invalid)
    request = SuiteRequest(suite, query_step(suite.query, suite.recipe.data), step, limits)
    done = context.compile_suite(plan, request)
    if done.rows is None:
        return Outcome(plan, done.findings)
    classes = plan.data.classes if plan.data else ()
    unknown = sorted(set(done.classes) - set(classes))
    if unknown:
        return Outcome(plan, (*done.findings, _unknown_classes(suite, unknown, classes)))
    measured = Measured(classes or done.labels, done.longest_target, suite.references)
    made = settled(suite, measured, plan, context)
    findings = (*done.findings, *made.findings)
    if made.step is None:
        return Outcome(plan, findings)
    measures = made.step.model_copy(update={"rows": done.rows})
    measures, more = with_baselines(measures, suite, plan, context)
    return _Compiled(measures, made.choices, (*findings, *more))
