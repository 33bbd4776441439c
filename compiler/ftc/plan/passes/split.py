"""Decide which rows are held out."""

from __future__ import annotations

from ftc.facts.query import Described
from ftc.plan.context import Context, Outcome, choice, filled
from ftc.plan.passes.render import chosen_shape
from ftc.plan.steps import Choice, Plan, QueryStep, SplitStep
from ftc.recipe.model import Split
from ftc.recipe.templates import template_variables

PROMPT_SIDE = {
    "messages": ("system", "user"),
    "prompt": ("prompt",),
    "chosen": ("chosen",),
    "text": ("text",),
    "anchor": (),
}
SYNONYMS = ("eval", "evaluation", "validation", "valid", "val", "dev", "test")
LEAST = "of each value at least one row is held out and one is not, so a value with one row stays in training"


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
    """Split by a hash of the group, or of what identifies an example, or as a column or a query says."""
    assert plan.objective is not None  # noqa: S101 - the order of the passes
    split, seed = context.recipe.data.split, context.recipe.seed
    nothing = SplitStep(fraction=None, rows=None, keys=(), seed=seed)
    if split.column is not None:
        reason = "rows with one of these values are held out; `train` and `training` rows train"
        step = nothing.model_copy(update={"column": split.column})
        return Outcome(filled(plan, (choice("data.split.eval", list(SYNONYMS), reason),), split=step))
    if context.facts.held_out is not None:
        step, chosen = _by_query(nothing, context.facts.held_out, context.recipe.data.id)
        return Outcome(filled(plan, (chosen,), split=step))
    if split.eval is None:
        reason = "the recipe holds no rows out, so nothing is evaluated"
        return Outcome(filled(plan, (choice("data.split.eval", 0, reason),), split=nothing))
    step, choices = _by_hash(nothing, split, _identity_columns(context, plan.objective.name))
    return Outcome(filled(plan, choices, split=step))


def _by_hash(
    nothing: SplitStep, split: Split, identity: tuple[str, ...]
) -> tuple[SplitStep, tuple[Choice, ...]]:
    held_out, keys = split.eval or 0, identity if split.group is None else (split.group,)
    choices: tuple[Choice, ...] = ()
    if split.group is None:
        ends = keys in (("messages",), ("chosen",))
        equal = "equal but for their last answer" if ends else "equal in these columns"
        reason = f"rows {equal} stay on one side, as they make the prompt"
        choices = (choice("data.split.group", list(keys), reason),)
    if split.stratify is not None:
        choices += (choice("data.split.stratify.least", 1, LEAST),)
    settings = {
        "fraction": held_out if held_out < 1 else None,
        "rows": int(held_out) if held_out >= 1 else None,
        "keys": keys,
        "stratify": split.stratify,
    }
    return nothing.model_copy(update=settings), choices


def _by_query(nothing: SplitStep, described: Described, id_column: str | None) -> tuple[SplitStep, Choice]:
    columns = tuple(column.name for column in described.columns)
    keys = (id_column,) if id_column is not None and id_column in columns else tuple(sorted(columns))
    query = QueryStep(
        sql=described.sql,
        parameters=described.parameters,
        columns=described.columns,
        id_column=None,
        traced_source=None,
    )
    reason = "rows are held out that have the same in these columns as a row of the split's query"
    step = nothing.model_copy(update={"keys": keys, "query": query})
    return step, choice("data.split.group", list(keys), reason)
