"""Write down what goes in: sources, query, model, tokenizer, machine."""

from __future__ import annotations

from typing import Literal, cast

from ftc import tuning
from ftc.diagnostics import Finding
from ftc.estimate.requested import requested_gpu
from ftc.facts.query import Described
from ftc.plan.context import Context, Outcome, choice, filled
from ftc.plan.steps import Choice, EnvironmentStep, Plan, QueryStep
from ftc.recipe.model import Data

Dtype = Literal["float32", "bfloat16", "float16"]
Device = Literal["cpu", "cuda", "mps"]


def _device(context: Context) -> tuple[Device, tuple[Choice, ...]]:
    stated, gpu = context.recipe.train.device, context.recipe.hardware.gpu
    if stated != "auto":
        return stated, ()
    if gpu is None:
        device = cast("Device", context.facts.device)
        return device, (choice("train.device", device, context.facts.device_reason),)
    named = requested_gpu(context.recipe)
    reason = f"hardware.gpu asks for {named.name if named else 'a GPU'}"
    return "cuda", (choice("train.device", "cuda", reason),)


def _without_bfloat16(context: Context) -> str | None:
    """The name of the GPU that the plan is for, where it has no bfloat16."""
    named = requested_gpu(context.recipe)
    if named is not None:
        return None if named.has_bfloat16 else named.name
    own = None if context.recipe.hardware.gpu else context.facts.gpu
    return None if own is None or own.has_bfloat16 else own.name


def _dtype(context: Context, device: str) -> tuple[Dtype, tuple[Choice, ...]]:
    stated = context.recipe.model.dtype
    if stated != "auto":
        return stated, ()
    if device != "cuda":
        reason = "on this device float32 is faster than bfloat16 and loses nothing"
        return "float32", (choice("model.dtype", "float32", reason),)
    lacking = _without_bfloat16(context)
    if lacking is None:
        return "bfloat16", (choice("model.dtype", "bfloat16", "the usual precision on a GPU"),)
    if not tuning.load(context.recipe.tune.method).adapter:
        reason = f"{lacking} has no bfloat16, and float16 weights are too coarse to be trained themselves"
        return "float32", (choice("model.dtype", "float32", reason),)
    reason = f"{lacking} has no bfloat16; the weights below the adapters stay as they are"
    return "float16", (choice("model.dtype", "float16", reason),)


def _queries(context: Context) -> tuple[tuple[QueryStep, ...], tuple[Choice, ...]]:
    data, found = context.recipe.data, context.facts.queries
    choices: list[Choice] = []
    if data.query is None and data.mix is None:
        choices.append(choice("data.query", found[0].sql, "every row of the only source"))
    if data.id is None:
        choices.append(_row_ids(found))
    return tuple(query_step(described, data) for described in found), tuple(choices)


def query_step(described: Described, data: Data) -> QueryStep:
    """A query as the plan has it."""
    part = data.mix[described.name] if data.mix is not None else None
    return QueryStep(
        name=described.name,
        sql=described.sql,
        parameters=described.parameters,
        columns=described.columns,
        id_column=data.id,
        traced_source=described.traced_source,
        weight=part.weight if part else None,
        repeat=part.repeat if part else 1,
    )


def _row_ids(queries: tuple[Described, ...]) -> Choice:
    traced = [query.traced_source is not None for query in queries]
    before = "QUERY/" if queries[0].name else ""
    if all(traced):
        reason = "each row of the result is a row of its source"
        return choice("data.id", f"{before}SOURCE:ROW", reason)
    if not any(traced):
        reason = "the query joins or groups rows, so a row is known by the MD5 of its content"
        return choice("data.id", f"{before}md5", reason)
    reason = "a row is known by its place in its source, or by the MD5 of its content where rows are joined"
    return choice("data.id", f"{before}SOURCE:ROW or {before}md5", reason)


def _special_ids(context: Context) -> tuple[int, int, tuple[Choice, ...]] | Finding:
    tokenizer = context.facts.model.tokenizer
    eos, pad = tokenizer.eos_id, tokenizer.pad_id
    if eos is None:
        return Finding(
            "FTC402",
            "the tokenizer has no end token, so a model could not learn when to stop",
            context.origins.value("model", "base"),
            help=("set `eos_token` in the model's tokenizer_config.json",),
        )
    if pad is not None:
        return eos, pad, ()
    reason = "the tokenizer has no padding token; padded places carry neither attention nor loss"
    return eos, eos, (choice("tokenizer.pad_token", eos, reason),)


def run(plan: Plan, context: Context) -> Outcome:
    """Copy the facts into the plan; choose device, precision and padding."""
    special = _special_ids(context)
    if isinstance(special, Finding):
        return Outcome(plan, (special,))
    eos, pad, padding = special
    device, device_choices = _device(context)
    dtype, dtype_choices = _dtype(context, device)
    queries, query_choices = _queries(context)
    facts = context.facts
    return Outcome(
        filled(
            plan,
            tuple(choice for source in facts.sources for choice in source.choices)
            + query_choices
            + device_choices
            + dtype_choices
            + padding,
            sources=tuple(source.step for source in facts.sources),
            queries=queries,
            model=facts.model.step(dtype),
            tokenizer=facts.model.tokenizer.step(eos, pad),
            environment=EnvironmentStep(device=device, packages=facts.packages),
        )
    )
