"""Write down what goes in: sources, query, model, tokenizer, machine."""

from __future__ import annotations

from typing import Literal, cast

from ftc.diagnostics import Finding
from ftc.plan.context import Context, Outcome, choice, filled
from ftc.plan.steps import Choice, EnvironmentStep, Plan, QueryStep

Dtype = Literal["float32", "bfloat16", "float16"]
Device = Literal["cpu", "cuda", "mps"]


def _device(context: Context) -> tuple[Device, tuple[Choice, ...]]:
    stated = context.recipe.train.device
    if stated != "auto":
        return stated, ()
    device = cast("Device", context.facts.device)
    return device, (choice("train.device", device, context.facts.device_reason),)


def _dtype(context: Context, device: str) -> tuple[Dtype, tuple[Choice, ...]]:
    stated = context.recipe.model.dtype
    if stated != "auto":
        return stated, ()
    if device == "cuda":
        return "bfloat16", (choice("model.dtype", "bfloat16", "the usual precision on a GPU"),)
    reason = "on this device float32 is faster than bfloat16 and loses nothing"
    return "float32", (choice("model.dtype", "float32", reason),)


def _query(context: Context) -> tuple[QueryStep, tuple[Choice, ...]]:
    described, data = context.facts.query, context.recipe.data
    choices: list[Choice] = []
    if data.query is None:
        choices.append(choice("data.query", described.sql, "every row of the only source"))
    if data.id is None:
        named = described.traced_source is not None
        reason = (
            "each row of the result is a row of its source"
            if named
            else "the query joins or groups rows, so a row is known by the MD5 of its content"
        )
        choices.append(choice("data.id", "SOURCE:ROW" if named else "md5", reason))
    step = QueryStep(
        sql=described.sql,
        columns=described.columns,
        id_column=data.id,
        traced_source=described.traced_source,
    )
    return step, tuple(choices)


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
    query, query_choices = _query(context)
    facts = context.facts
    return Outcome(
        filled(
            plan,
            query_choices + device_choices + dtype_choices + padding,
            sources=tuple(source.step for source in facts.sources),
            query=query,
            model=facts.model.step(dtype),
            tokenizer=facts.model.tokenizer.step(eos, pad),
            environment=EnvironmentStep(device=device, packages=facts.packages),
        )
    )
