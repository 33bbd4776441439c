"""Choose what is optimised from the columns the query returns."""

from __future__ import annotations

from ftc import objectives
from ftc.facts.columns import objective_findings, offered_columns
from ftc.objectives.choose import Fit, fits
from ftc.plan.context import Context, Outcome, choice, filled
from ftc.plan.steps import Choice, ObjectiveStep, Plan


def _choices(found: tuple[Fit, ...], context: Context) -> tuple[Choice, ...]:
    if context.recipe.train.objective is not None:
        return ()
    best = found[0]
    columns = " and ".join(f"`{column}`" for column in best.shape.columns)
    others = sorted({fit.objective.name for fit in found} - {best.objective.name})
    also = f"; the columns would also serve {', '.join(others)}" if others else ""
    return (choice("train.objective", best.objective.name, f"the rows have {columns}{also}"),)


def run(plan: Plan, context: Context) -> Outcome:
    """The first objective of the table whose columns are all there, unless the recipe names one."""
    recipe = context.recipe
    columns = {column.name: column.type for column in context.facts.columns}
    problems = objective_findings(recipe, context.origins, columns)
    if problems:
        return Outcome(plan, problems)
    found = fits(offered_columns(recipe, columns), recipe.train.objective_name)
    best = found[0].objective
    stated = objectives.options(best.name, recipe.train.objective)
    step = ObjectiveStep(
        name=best.name,
        trainer=best.trainer,
        config=best.config,
        options=stated.model_dump(mode="json", exclude={"name"}),
        batches=best.batches,
        head=best.loads.head,
        reference=best.loads.reference,
        rewards=context.facts.rewards,
    )
    return Outcome(filled(plan, _choices(found, context), objective=step))
