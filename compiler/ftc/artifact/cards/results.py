"""What a run measured, as the model card tells it: the task, what was forgotten, what is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ftc.artifact.cards.markdown import code, plain, table
from ftc.plan.steps import Plan

INTERVALS = "Intervals are 95 % bootstrap intervals over the rows; p-values are of paired tests on them."
APART = {
    "forgetting": (
        "Forgetting",
        "General questions that the rows do not teach, before training and after: a fall is knowledge lost.",
    ),
    "refusal": (
        "Refusal",
        "Harmful requests that should be refused, and harmless ones that look harmful and should not.",
    ),
}
"""Shipped suites with a section of their own: its title, and what the suite shows."""

KINDS = {"few_shot": "the base model with examples", "retrieval": "the base model with retrieved examples"}
Suite = Mapping[str, Any]


def evaluation(measured: Mapping[str, Any], plan: Plan | None = None) -> str:
    """Each suite before and after with intervals, and what its gates came to; without those kept apart."""
    suites = measured["suites"]
    if not suites:
        return "No row was held out, so nothing was measured.\n"
    apart = {one["suite"] for name in APART for one in _shipped(measured, plan, name)}
    task = [suite for suite in suites if suite["suite"] not in apart]
    if not task:
        return "No row was held out, so the task itself was not measured.\n"
    return "\n".join(map(_suite, task)) + f"\n{INTERVALS}\n"


def kept_apart(measured: Mapping[str, Any], plan: Plan) -> Iterator[tuple[str, str]]:
    """A section for each suite that shows harm, with what it measured or that it was not measured."""
    for name, (title, shows) in APART.items():
        suites = list(_shipped(measured, plan, name))
        said = f'Not measured: the recipe has no suite "{name}".\n'
        yield title, "\n".join([f"{shows}\n", *map(_suite, suites)]) if suites else said


def _shipped(measured: Mapping[str, Any], plan: Plan | None, name: str) -> Iterator[Suite]:
    """The suites whose rows are those of a shipped one."""
    steps = {step.name: step.rows.shipped for step in plan.all_suites if step.rows} if plan else {}
    return (suite for suite in measured["suites"] if steps.get(suite["suite"]) == name)


def _suite(suite: Suite) -> str:
    lines = [
        [plain(one["title"]), _figure(one["before"]), _figure(one["after"]), _change(one["change"])]
        for one in suite["metrics"]
    ]
    rows = f"{suite['rows']} row{'s' if suite['rows'] != 1 else ''}"
    held = f"{rows} {'were' if suite['rows'] != 1 else 'was'} held out and never trained on."
    said = held if suite["suite"] == "held_out" else f"The suite {code(suite['suite'])} has {rows}."
    names = {one["metric"] for one in suite["metrics"]}
    note = "Exact match is mostly learned format; the accuracy among the labels is fair to the base."
    fair = f"\n{note}\n" if {"exact_match", "label_accuracy"} <= names else ""
    gates = "".join(f"- the gate {_gate(gate)}\n" for gate in suite["gates"])
    parts = [f"{said}\n\n{table(('', 'before', 'after', 'change'), lines)}{fair}", gates, _baselines(suite)]
    return "\n".join(part for part in parts if part)


def _gate(gate: Mapping[str, Any]) -> str:
    condition = code(f"{gate['metric']} {gate['gate']}")
    return f"{condition} {'holds' if gate['passed'] else 'FAILED'}"


def _baselines(suite: Suite) -> str:
    """The base model asked in other ways, beside the trained one."""
    found: Sequence[Mapping[str, Any]] = suite.get("baselines") or ()
    if not found:
        return ""
    names = [one["metric"] for one in suite["metrics"]]
    titles = {one["metric"]: plain(one["title"]) for one in suite["metrics"]}
    rows = [
        (KINDS.get(one["baseline"], plain(one["baseline"])), *_values(one["metrics"], "value", names))
        for one in found
    ]
    rows.append(("the trained model", *_values(suite["metrics"], "after", names)))
    return "Would a prompt have done?\n\n" + table(("", *(titles[name] for name in names)), rows)


def _values(metrics: Sequence[Mapping[str, Any]], key: str, names: Sequence[str]) -> list[str]:
    found = {one["metric"]: one[key] for one in metrics}
    return [_figure(found.get(name)) for name in names]


def _figure(figure: Mapping[str, Any] | None) -> str:
    """A value with its 95 % interval."""
    if figure is None or figure["value"] is None:
        return "n/a"
    low, high = figure.get("low"), figure.get("high")
    between = "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
    return f"{figure['value']:.3f}{between}"


def _change(change: Mapping[str, Any] | None) -> str:
    if change is None or change["difference"] is None:
        return ""
    return f"{change['difference']:+.3f} (p = {change['p_value']:.3g})"
