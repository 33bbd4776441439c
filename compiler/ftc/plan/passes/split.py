"""Decide which rows are held out."""

from __future__ import annotations

from ftc.plan.context import Context, Outcome, choice, filled
from ftc.plan.passes.render import chosen_shape
from ftc.plan.steps import Choice, Plan, SplitStep
from ftc.recipe.templates import template_variables

PROMPT_SIDE = {"messages": ("system", "user"), "prompt": ("prompt",), "text": ("text",)}


def _identity_columns(context: Context, objective: str) -> tuple[str, ...]:
    """The query's columns from which the part of an example that identifies it is made."""
    render = context.recipe.render
    columns = {column.name for column in context.facts.columns}
    found: list[str] = []
    for name in chosen_shape(context, objective).identity:
        sources = [
            getattr(render, field) for field in PROMPT_SIDE[name] if getattr(render, field) is not None
        ]
        used = [variable for source in sources for variable, _ in template_variables(source)]
        found += used or [name]
    return tuple(sorted(set(found) & columns)) or tuple(sorted(columns))


def run(plan: Plan, context: Context) -> Outcome:
    """Split by a hash of the group, or of what identifies an example, so that no prompt is on both sides."""
    assert plan.objective is not None  # noqa: S101 - the order of the passes
    split, seed = context.recipe.data.split, context.recipe.seed
    held_out = split.eval
    if held_out is None:
        reason = "the recipe holds no rows out, so nothing is evaluated"
        step = SplitStep(fraction=None, rows=None, keys=(), seed=seed)
        return Outcome(filled(plan, (choice("data.split.eval", 0, reason),), split=step))
    chosen: tuple[Choice, ...] = ()
    if split.group is not None:
        keys: tuple[str, ...] = (split.group,)
    else:
        keys = _identity_columns(context, plan.objective.name)
        equal = "equal in these columns" if keys != ("messages",) else "equal but for their last answer"
        reason = f"rows {equal} stay on one side, as they make the prompt"
        chosen = (choice("data.split.group", list(keys), reason),)
    step = SplitStep(
        fraction=held_out if held_out < 1 else None,
        rows=int(held_out) if held_out >= 1 else None,
        keys=keys,
        seed=seed,
    )
    return Outcome(filled(plan, chosen, split=step))
