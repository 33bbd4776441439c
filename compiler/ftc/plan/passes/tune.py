"""Resolve which weights train."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import JsonValue

from ftc import tuning
from ftc.diagnostics import Finding
from ftc.estimate.architecture import InexpressibleError
from ftc.estimate.inventory import modules
from ftc.plan import embeddings
from ftc.plan.context import Context, Outcome, choice, filled
from ftc.plan.steps import Choice, Plan, TuneStep
from ftc.recipe.suggest import did_you_mean
from ftc.tuning.base import Method, Problem
from ftc.tuning.freeze import trains
from ftc.tuning.lora import READS_ROWS
from ftc.tuning.modules import SCORE, TOKENS, Module, Modules, ends_with, headless, with_scores

BITSANDBYTES = "bitsandbytes"


def known_modules(context: Context, *, scores: int = 0, embeds: bool = False) -> Modules | None:
    """The model's modules by its config.json; None for a model type whose names are not in the tables.

    With `scores`, a head of so many stands in place of the vocabulary's, and none where it `embeds`.
    """
    try:
        found = modules(context.facts.model.config)
    except InexpressibleError:
        return None
    if embeds:
        return headless(found)
    return with_scores(found, scores) if scores else found


def tune_step(context: Context, known: Modules | None, *, scores: int = 0, embeds: bool = False) -> TuneStep:
    """The recipe's `[tune]` table through its method, with how many numbers train where that is known."""
    tune = context.recipe.tune
    method = tuning.load(tune.method)
    step = method.lower(tune, known)
    if scores and step.peft is not None:
        step = step.model_copy(update={"peft": _scored(step.peft)})
    if embeds and step.peft is not None:
        step = step.model_copy(update={"peft": embeddings.adapter(step.peft, context)})
    if method.adds_tokens and step.peft is not None and context.facts.model.new_tokens:
        step = step.model_copy(update={"peft": _with_rows(step.peft, context, known)})
    if known is None:
        return step
    trained = method.count(step, known)
    return step.model_copy(update={"parameters": trained, "total": known.numel})


def _scored(peft: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """PEFT's options where the model has a head of scores: that is new, so it trains whole."""
    given = peft.get("modules_to_save")
    saved: list[JsonValue] = [*(given if isinstance(given, list) else []), SCORE]
    return peft | {"task_type": "SEQ_CLS", "modules_to_save": saved}


def _with_rows(peft: dict[str, JsonValue], context: Context, known: Modules | None) -> dict[str, JsonValue]:
    """PEFT's options where the rows of new tokens train, of the embedding and of a head of its own."""
    wanted: list[JsonValue] = [token.id for token in context.facts.model.new_tokens]
    whole = known.targeted(peft.get("modules_to_save")) if known is not None else ()
    rows: dict[str, JsonValue] = {
        module.name.rpartition(".")[2]: wanted for module in _tables(known) if module not in whole
    }
    return peft | {TOKENS: rows} if rows else peft


def _tables(known: Modules | None) -> tuple[Module, ...]:
    """The modules with a row for each token: the embedding, and a head that is not tied to it."""
    return tuple(
        module
        for module in (known.all if known is not None else ())
        if (module.kind == "embedding" and module.role == "tokens")
        or (module.kind == "head" and module.role == "head" and not (known and known.tied))
    )


def _untrained_tokens(
    context: Context, method: Method, step: TuneStep, known: Modules | None
) -> Iterator[Finding]:
    """FTC547 where new tokens would keep the rows that they begin with."""
    if not context.facts.model.new_tokens or method.name == "full":
        return
    if known is not None and method.adds_tokens:
        return
    how = step.unfrozen
    if how is not None and known is not None and all(trains(one, how, known) for one in _tables(known)):
        return
    message = f"the new tokens would not train: {method.title} leaves their rows as they begin"
    helps = ('write method = "lora" or "full" under [tune]',)
    if how is not None:
        helps = ("write embeddings = true and head = true under [tune]",)
    elif known is None:
        message = "the new tokens would not train: the embedding of this model type has no known name"
        helps = ('write method = "full" under [tune]',)
    yield Finding("FTC547", message, context.origins.value("model", "new_tokens"), help=helps)


def _defaulted(context: Context, method: Method, step: TuneStep) -> tuple[Choice, ...]:
    tune = context.recipe.tune
    picked = method.defaults(tune, step)
    chosen = tuple(choice(f"tune.{one.key}", one.value, one.reason) for one in picked)
    rows = (step.peft or {}).get(TOKENS)
    if isinstance(rows, dict):
        reason = "the rows of the new tokens train beside the adapters, and are saved with them"
        chosen = (*chosen, choice("tune.new_tokens", [*rows], reason))
    if "tune" in context.recipe.model_fields_set and "method" in tune.model_fields_set:
        return chosen
    reason = "trains few weights, leaves the base as it is, and needs a fraction of the memory"
    return (choice("tune.method", step.method, reason), *chosen)


def _finding(problem: Problem, context: Context, known: Modules) -> Finding:
    span = context.origins.value("tune", *problem.key) or context.origins.value("tune", "method")
    if not problem.unknown:
        return Finding(problem.code, problem.message, span, help=problem.help)
    helps = did_you_mean(problem.unknown, known.names())
    notes = (f"the model has {', '.join(sorted(known.names()))}",)
    return Finding(problem.code, problem.message, span, help=helps, notes=notes)


def _by_tensors(context: Context, step: TuneStep) -> Iterator[Finding]:
    """Layer names which match no weight, where only the weights' names are at hand."""
    tensors = context.facts.model.tensor_names
    names = {name.rpartition(".")[0] for name in tensors}
    parts = frozenset(part for name in names for part in name.split(".") if not part.isdigit())
    keys = {"targets": "target_modules", "modules_to_save": "modules_to_save"}
    for key, option in keys.items():
        given = (step.peft or {}).get(option)
        for index, target in enumerate(given if isinstance(given, list) and names else ()):
            if any(ends_with(name, str(target)) for name in names):
                continue
            span = context.origins.value("tune", key, index)
            message = f"no layer of the model is named `{target}`"
            notes = (f"the model has {', '.join(sorted(parts))}",)
            yield Finding("FTC505", message, span, help=did_you_mean(str(target), parts), notes=notes)


def _unfit(plan: Plan, context: Context, method: Method) -> Iterator[Finding]:
    """What the method does not go together with, of the rest of the recipe and of the machine."""
    recipe, origins = context.recipe, context.origins
    span = origins.value("tune", "method")
    if not method.recomputes and recipe.train.gradient_checkpointing is not False:
        message = f"{method.title} does not work with gradient checkpointing (PEFT)"
        again = origins.value("train", "gradient_checkpointing")
        yield Finding("FTC541", message, again, help=("remove `gradient_checkpointing`",))
    if not method.packs and recipe.data.packing:
        message = f"{method.title} cannot keep packed rows apart: PEFT ignores their positions"
        yield Finding("FTC541", message, origins.value("data", "packing"), help=("write packing = false",))
    quantised = context.facts.model.config.get("quantization_config")
    if quantised is not None and (method.quantises or not method.adapter):
        how = quantised.get("quant_method", "some") if isinstance(quantised, dict) else "some"
        message = f"the base is stored in few bits already ({how}), which {method.title} cannot train"
        yield Finding(
            "FTC541", message, span, help=('write method = "lora", or take the base it was made of',)
        )
    if method.quantises:
        yield from _quantising(plan, context)
    init = getattr(recipe.tune, "init", None)
    if init in READS_ROWS and plan.objective and plan.objective.batches != "rows":
        message = f"`{init}` looks at rows of one text each, and {plan.objective.name} has others"
        yield Finding("FTC541", message, origins.value("tune", "init"), help=("remove `init`",))


def _quantising(plan: Plan, context: Context) -> Iterator[Finding]:
    span = context.origins.value("tune", "method")
    assert plan.environment is not None  # noqa: S101 - the order of the passes
    assert plan.model is not None  # noqa: S101
    saved = getattr(context.recipe.tune, "modules_to_save", None)
    if saved and plan.model.dtype != "bfloat16":
        message = f"TRL trains `{saved[0]}` in bfloat16 here, and the model's dtype is {plan.model.dtype}"
        helps = ('write dtype = "bfloat16" under [model]', 'or write method = "lora"')
        yield Finding("FTC541", message, context.origins.value("tune", "modules_to_save"), help=helps)
    if plan.environment.device == "mps":
        message = "bitsandbytes stores no weights in few bits on Apple's GPUs"
        yield Finding("FTC541", message, span, help=('write method = "lora"',))
    if BITSANDBYTES not in context.facts.packages:
        message = "weights in few bits need bitsandbytes, which is not installed"
        yield Finding("FTC542", message, span, help=("pip install bitsandbytes",))


def scores_of(plan: Plan) -> int:
    """How many scores the model's new head has; 0 where it has none, 2 until the classes are known."""
    head = plan.objective.head if plan.objective else "vocabulary"
    if head == "classes":
        return len(plan.data.classes) if plan.data else 2
    return 1 if head == "scores" else 0


def counted(plan: Plan, context: Context) -> TuneStep | None:
    """The plan's tuning step, with how many numbers train now that the classes are known."""
    if plan.tune is None or plan.tune.parameters is None or not (plan.data and plan.data.classes):
        return plan.tune
    known = known_modules(context, scores=scores_of(plan))
    if known is None:
        return plan.tune
    trained = tuning.load(plan.tune.method).count(plan.tune, known)
    return plan.tune.model_copy(update={"parameters": trained, "total": known.numel})


def run(plan: Plan, context: Context) -> Outcome:
    """Lower the recipe's `[tune]` table through its method, and hold it against the model."""
    scores, embeds = scores_of(plan), plan.objective is not None and plan.objective.head == "embedding"
    tune, known = context.recipe.tune, known_modules(context, scores=scores, embeds=embeds)
    method = tuning.load(tune.method)
    step = tune_step(context, known, scores=scores, embeds=embeds)
    if known is None:
        found = list(_by_tensors(context, step))
    else:
        found = [_finding(problem, context, known) for problem in method.problems(tune, known)]
    found += _unfit(plan, context, method)
    found += _untrained_tokens(context, method, step, known)
    return Outcome(filled(plan, _defaulted(context, method, step), tune=step), tuple(found))


__all__ = ["known_modules", "run", "tune_step"]
