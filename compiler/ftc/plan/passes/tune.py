"""Resolve which weights train."""

from __future__ import annotations

from ftc import tuning
from ftc.diagnostics import Finding
from ftc.plan.context import Context, Outcome, choice, filled
from ftc.plan.steps import Choice, Plan, TuneStep
from ftc.recipe.suggest import did_you_mean


def _defaulted(context: Context, step: TuneStep) -> tuple[Choice, ...]:
    tune = context.recipe.tune
    chosen = []
    if "tune" not in context.recipe.model_fields_set or "method" not in tune.model_fields_set:
        reason = "trains few weights, leaves the base as it is, and needs a fraction of the memory"
        chosen.append(choice("tune.method", step.method, reason))
    if step.method == "lora" and step.peft is not None:
        if "rank" not in tune.model_fields_set:
            chosen.append(choice("tune.rank", step.peft["r"], "enough for most tasks of this size"))
        if getattr(tune, "alpha", None) is None:
            chosen.append(choice("tune.alpha", step.peft["lora_alpha"], "twice the rank, a common setting"))
        if "targets" not in tune.model_fields_set:
            reason = "every linear layer but the output head, as the QLoRA paper found best"
            chosen.append(choice("tune.targets", step.peft["target_modules"], reason))
    return tuple(chosen)


def _modules(tensors: tuple[str, ...]) -> frozenset[str]:
    return frozenset(part for name in tensors for part in name.split(".")[:-1] if not part.isdigit())


def _unknown_targets(context: Context, step: TuneStep) -> tuple[Finding, ...]:
    """Layer names which match no module, as far as the weights' names are at hand."""
    targets = (step.peft or {}).get("target_modules")
    tensors = context.facts.model.tensor_names
    if not isinstance(targets, list) or not tensors:
        return ()
    modules = {name.rpartition(".")[0] for name in tensors}
    findings = []
    for index, target in enumerate(targets):
        if any(module == target or module.endswith(f".{target}") for module in modules):
            continue
        findings.append(
            Finding(
                "FTC505",
                f"no layer of the model is named `{target}`",
                context.origins.value("tune", "targets", index),
                help=did_you_mean(str(target), _modules(tensors)),
                notes=(f"the model has {', '.join(sorted(_modules(tensors)))}",),
            )
        )
    return tuple(findings)


def run(plan: Plan, context: Context) -> Outcome:
    """Lower the recipe's `[tune]` table through its method."""
    tune = context.recipe.tune
    step = tuning.load(tune.method).lower(tune)
    return Outcome(filled(plan, _defaulted(context, step), tune=step), _unknown_targets(context, step))
