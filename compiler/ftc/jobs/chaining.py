"""Recipes that build on recipes: what is known of such a base, and how far a chain is built."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.artifact.run_directory import RunDirectory
from ftc.diagnostics import Finding, Span
from ftc.facts.locate_model import Located
from ftc.facts.model import ModelFacts
from ftc.jobs.results import ChainLink, ChainState
from ftc.recipe.base_recipe import KEY
from ftc.recipe.layers import Key

if TYPE_CHECKING:
    from ftc.jobs.planning import Planned
    from ftc.plan.steps import Plan, TuneStep
    from ftc.recipe.load import Origins

SHORT = 16


def base_facts(
    base: Planned, origins: Origins, *, head: str = "vocabulary", key: Key = KEY
) -> ModelFacts | Finding:
    """What a plan must know of the model that another recipe makes, before and after it is made alike.

    It must have the head that is named; `key` is where the recipe stands. Configuration and tokenizer are
    those that the other recipe begins with, the chat template is the one it trains with, and its weights
    follow from the digest of its plan. Of a sample there is no digest.
    """
    plan, facts = base.result.plan, base.facts
    assert plan is not None  # noqa: S101 - the caller has looked
    assert facts is not None  # noqa: S101
    problem = _unfit(plan, origins.value(*key), head)
    if problem is not None:
        return problem
    digest = base.result.digest
    template = plan.render.chat_template if plan.render is not None else None
    tokenizer = facts.model.tokenizer
    return replace(
        facts.model,
        located=Located(run_title(plan.name, digest), "run", base.result.path, digest),
        tokenizer=replace(tokenizer, chat_template=template or tokenizer.chat_template),
        weights=(),
        commit=digest,
        new_tokens=(),
        base=None,
    )


def run_title(name: str, digest: str | None) -> str:
    """The name by which plans know a run, as `run://domain/4f1c9a0e5b7d2c88`; no model on a hub has it."""
    return f"run://{name}/{digest[:SHORT]}" if digest else f"run://{name}"


def is_adapter(tune: TuneStep | None) -> bool:
    """Whether a run keeps an adapter, and not all weights."""
    return tune is not None and tune.peft is not None


def _unfit(plan: Plan, span: Span | None, head: str) -> Finding | None:
    """Why nothing can be built on what a plan makes; None where something can."""
    from ftc import tuning

    assert plan.tune is not None  # noqa: S101 - the plan is whole
    assert plan.objective is not None  # noqa: S101
    if plan.objective.head != head and head == "scores":
        message = f"the recipe `{plan.name}` trains {plan.objective.name}, and no reward model"
        return Finding("FTC582", message, span, help=('name a recipe that trains objective = "reward"',))
    if plan.objective.head != head:
        message = f"the base recipe `{plan.name}` makes a model of {plan.objective.head}, not of text"
        return Finding("FTC582", message, span, help=("name a recipe that trains a language model",))
    if plan.model is not None and plan.model.code:
        message = f"the base recipe `{plan.name}` starts from a model with Python code of its own"
        return Finding("FTC582", message, span, help=("train on that model in one recipe",))
    if not is_adapter(plan.tune) or tuning.load(plan.tune.method).merges:
        return None
    return Finding(
        "FTC582",
        f"the base recipe `{plan.name}` trains by {plan.tune.method}, whose result is no model of its own",
        span,
        help=('train the base by another method, such as method = "lora" or "full"',),
        notes=("what it trains stands beside the model's weights and cannot be merged into them",),
    )


def bases(made: Planned) -> Iterator[Planned]:
    """The plans that a plan needs built, in the order in which they are built."""
    for one in (*(() if made.base is None else (made.base,)), *made.scorers):
        yield from bases(one)
        yield one


def runs_of(made: Planned, runs: Path | None) -> Path:
    """Where the runs of a recipe are: in `runs`, or beside it."""
    return runs or made.result.path.parent / "runs"


def directory_of(made: Planned, runs: Path | None) -> RunDirectory:
    """Where the run of a whole plan is, or would be."""
    plan, digest = made.result.plan, made.result.digest
    assert plan is not None  # noqa: S101 - the caller has looked
    assert digest is not None  # noqa: S101
    return RunDirectory(runs_of(made, runs), plan.name, digest)


def links(made: Planned, runs: Path | None) -> tuple[ChainLink, ...]:
    """How far each recipe of a chain is built, in the order of building; empty where there is no chain."""
    below = {one.result.path.resolve(): one for one in bases(made)}
    return tuple(_link(one, runs) for one in (*below.values(), made)) if below else ()


def _link(made: Planned, runs: Path | None) -> ChainLink:
    result = made.result
    name = result.plan.name if result.plan is not None else result.path.stem
    if result.plan is None or result.digest is None:
        return ChainLink(result.path, name, None, "not planned", "", None, result.forecast)
    place = directory_of(made, runs)
    state, reason = _state(place, result.plan)
    run = place.complete if state == "built" else None
    return ChainLink(result.path, name, result.digest, state, reason, run, result.forecast)


def _state(place: RunDirectory, plan: Plan) -> tuple[ChainState, str]:
    """Whether a plan's run is there, and if not what is."""
    from ftc.artifact.run_directory import changed_since
    from ftc.runtime.checkpoints import newest

    if place.complete.is_dir():
        changed = changed_since(place.complete)
        if not changed:
            return "built", ""
        return "stale", f"its run was changed since it was built ({', '.join(changed[:3])})"
    if place.partial.is_dir():
        step = newest(place.partial / "checkpoints").step
        return "unfinished", f"it goes on after step {step}" if step else "it was stopped before a checkpoint"
    others = _others(place)
    if not others:
        return "not built", "it has no run yet"
    return "stale", _since(others[0], plan)


def _others(place: RunDirectory) -> list[Path]:
    """Whole runs of the same recipe by other plans, the newest first."""
    try:
        plans = [path for path in place.complete.parent.glob("*/plan.json") if _is_run(path.parent.name)]
        dated = [(path.stat().st_mtime, path.parent) for path in plans]
    except OSError:
        return []
    return [run for _, run in sorted(dated, reverse=True)]


def _is_run(name: str) -> bool:
    return len(name) == SHORT and all(character in "0123456789abcdef" for character in name)


def _since(run: Path, plan: Plan) -> str:
    """What differs from the plan that a run was made by."""
    from pydantic import ValidationError

    from ftc.plan.steps import Plan

    said = f"its run {run.name} was made by another plan"
    try:
        old = Plan.model_validate_json((run / "plan.json").read_bytes())
    except (OSError, ValidationError):
        return said
    parts = [name for name in Plan.model_fields if getattr(old, name) != getattr(plan, name)]
    differing = [name for name in parts if name != "choices"] or parts
    return f"{said}: {', '.join(differing)} changed" if differing else said
