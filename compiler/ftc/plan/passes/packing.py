"""Decide whether training sequences hold several rows."""

from __future__ import annotations

from ftc import tuning
from ftc.diagnostics import Finding
from ftc.facts.isolation import Isolation, isolation
from ftc.plan.context import Context, Outcome, choice, filled
from ftc.plan.steps import PackingStep, Plan

KEY = "data.packing"


def run(plan: Plan, context: Context) -> Outcome:
    """Take the recipe's word where the model keeps packed rows apart, or choose.

    This stands before the rows are compiled, so that a model which cannot is refused at once.
    """
    stated = context.recipe.data.packing
    if plan.objective is not None and plan.objective.batches != "rows":
        return _one_by_one(plan, context, stated)
    if stated is False:
        return Outcome(filled(plan, packing=PackingStep(packed=False)))
    if stated is True:
        found = _isolation(context)
        findings = () if found.apart else (_refused(found, context),)
        return Outcome(filled(plan, packing=PackingStep(packed=True)), findings)
    method = tuning.load(context.recipe.tune.method)
    packed, reason = _chosen(plan, context)
    if packed and not method.packs:
        packed, reason = False, f"{method.title} cannot keep packed rows apart"
    return Outcome(filled(plan, (choice(KEY, packed, reason),), packing=PackingStep(packed=packed)))


def _one_by_one(plan: Plan, context: Context, stated: bool | None) -> Outcome:
    """Without packing: the objective compares whole rows."""
    assert plan.objective is not None  # noqa: S101 - the caller has looked
    unpacked = filled(plan, packing=PackingStep(packed=False))
    if not stated:
        return Outcome(unpacked)
    message = f"rows cannot be packed for `{plan.objective.name}`, which compares whole rows"
    span = context.origins.value("data", "packing")
    return Outcome(unpacked, (Finding("FTC107", message, span, help=("remove the line",)),))


def _isolation(context: Context) -> Isolation:
    model = context.facts.model
    return isolation(model.architecture, str(model.config.get("model_type", "")))


def _chosen(plan: Plan, context: Context) -> tuple[bool, str]:
    assert plan.environment is not None  # noqa: S101 - the order of the passes
    device = plan.environment.device
    if device != "cuda":
        return False, "it gains nothing on the CPU" if device == "cpu" else f"its gain on {device} is unknown"
    found = _isolation(context)
    if not found.apart:
        return False, f"the model would see packed rows as one: {found.why}"
    if "batch" in context.recipe.train.model_fields_set:
        return False, "train.batch counts rows; with packing = true it counts sequences of several rows"
    return True, f"nothing is padded, and the model sees each row alone: {found.why}"


def _refused(found: Isolation, context: Context) -> Finding:
    return Finding(
        "FTC508",
        f"`{context.facts.model.architecture}` would see packed rows as one: {found.why}",
        context.origins.value("data", "packing"),
        help=("write packing = false: rows are then padded to the longest of their batch",),
    )
