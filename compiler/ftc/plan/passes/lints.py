"""Say what the lints found in the rows, each at the level that the recipe gives it."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from ftc.diagnostics import Finding, Severity
from ftc.lints import LINTS, describe, small_eval
from ftc.lints.base import Hit, Linted, LintResult, Said
from ftc.plan.context import Context, Outcome
from ftc.plan.steps import Plan

SEVERITIES = {"warn": Severity.WARNING, "deny": Severity.ERROR}
EXTRA = "pip install 'ftc[lints]'"


def run(plan: Plan, context: Context) -> Outcome:
    """Turn the results into findings; the plan stays as it is, whatever the levels."""
    linted = levelled(plan, context)
    return Outcome(plan, tuple(_finding(one, context) for one in linted if one.level in SEVERITIES))


def levelled(plan: Plan, context: Context) -> tuple[Linted, ...]:
    """What the lints found, with the level of each; None where it is too little to be worth a word."""
    return tuple(_levelled(result, context) for result in _results(plan, context))


def _results(plan: Plan, context: Context) -> Iterator[LintResult]:
    yield from context.lint_results()
    if plan.eval is not None and plan.data is not None and plan.data.eval is not None:
        by_hash = plan.split is not None and (plan.split.rows or plan.split.fraction) is not None
        few = small_eval.judge(plan.data.eval.rows, plan.eval.metrics, by_hash=by_hash)
        if few is not None:
            yield few


def _levelled(result: LintResult, context: Context) -> Linted:
    stated = context.recipe.lints.get(result.lint)
    worth_it = result.notable and result.rows > 0
    return Linted(stated or (LINTS[result.lint].level if worth_it else None), result)


def _finding(linted: Linted, context: Context) -> Finding:
    level, result = linted
    lint = LINTS[result.lint]
    said = describe(result) if result.rows else _could_not_look(result)
    recipe = context.origins.main.source.name
    notes = [*said.notes, *map(_shown, result.first)]
    if result.first:
        notes.append(f"a whole row: ftc show {quote(recipe)} --id {quote(result.first[0].id)}")
    if result.missing and result.rows:
        notes.append(f"not all was looked for: that takes the package `{result.missing}` ({EXTRA})")
    if level == "deny":
        notes.append(f'it is an error because of {result.lint} = "deny" in [lints]')
    return Finding(
        lint.code,
        said.message,
        context.origins.value(*lint.at),
        help=said.help,
        notes=tuple(notes),
        severity=SEVERITIES[level or "warn"],
    )


def _could_not_look(result: LintResult) -> Said:
    return Said(f"the lint `{result.lint}` cannot look: it takes the package `{result.missing}`", (EXTRA,))


def _shown(hit: Hit) -> str:
    pair = f"{hit.id} and {hit.other}" if hit.other else hit.id
    return f"{pair}: {hit.excerpt}" if hit.excerpt else pair
