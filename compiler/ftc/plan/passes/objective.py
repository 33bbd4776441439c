"""Choose what is optimised from the columns the query returns."""

from __future__ import annotations

from collections.abc import Iterator

from ftc import objectives
from ftc.diagnostics import Finding
from ftc.facts.columns import objective_findings, offered_columns
from ftc.facts.media import tower_note
from ftc.objectives.choose import Fit, fits
from ftc.plan import embeddings
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


def _unfit(fit: Fit, options: objectives.Options, context: Context) -> Iterator[Finding]:
    """What keeps the objective from training this base, by this method, with these packages."""
    model, base = context.facts.model, context.origins.value("model", "base")
    if fit.objective.loads.head != "embedding":
        if not model.writes:
            message = f"`{model.architecture}` is not a causal language model"
            helps = ("name a model whose architecture ends in ForCausalLM",)
            yield Finding("FTC404", message, base, help=helps)
        return
    yield from embeddings.unfit(context, getattr(options, "pooling", None))
    loss = getattr(options, "loss", "in_batch")
    if loss != "in_batch" and "negative" not in fit.shape.columns:
        message = f"the loss `{loss}` compares with a column `negative`, which the query does not return"
        helps = ('return one, or write loss = "in_batch"',)
        span = context.origins.value("train", "objective", "loss")
        yield Finding("FTC208", message, span, help=helps)


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
    unfit = tuple(_unfit(found[0], stated, context))
    if unfit:
        return Outcome(plan, unfit)
    chosen = _choices(found, context)
    if best.loads.head == "embedding":
        assert plan.tokenizer is not None  # noqa: S101 - the order of the passes
        pooling, pools = embeddings.pooled(context, getattr(stated, "pooling", None))
        stated, chosen = stated.model_copy(update={"pooling": pooling}), (*chosen, *pools)
        plan = plan.model_copy(update={"tokenizer": embeddings.ended(plan.tokenizer, context)})
    notes = tuple(tower_note(context.facts.model.config, context.origins.value("model", "base")))
    step = ObjectiveStep(
        name=best.name,
        trainer=best.trainer,
        config=best.config,
        options=stated.model_dump(mode="json", exclude={"name"}),
        batches=best.batches,
        head=best.loads.head,
        reference=best.loads.reference,
        rewards=context.facts.rewards,
        teacher=context.facts.teacher.step(plan.model.dtype)
        if context.facts.teacher and plan.model
        else None,
    )
    return Outcome(filled(plan, chosen, objective=step), notes)
