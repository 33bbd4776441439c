"""What a plan's build makes anew where another plan's is there already.

It is read off the keys under which results are kept (docs/architecture.md), made by the very functions that
keep them: what has another key is made anew, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal

from ftc.data.compile import Request, request_key, used_sources
from ftc.data.packing.laid_out import sequences_key
from ftc.data.query.ingest import source_key
from ftc.facts.materialise import converted_key
from ftc.plan.canonical import digest
from ftc.plan.compiling import request_of
from ftc.plan.steps import Plan

Stage = Literal["sources", "model", "rows", "sequences", "training"]
STAGES: tuple[Stage, ...] = ("sources", "model", "rows", "sequences", "training")


@dataclass(frozen=True, slots=True)
class Redone:
    """A stage that is made anew, and what of its inputs differs: sources by name, else parts of the plan."""

    stage: Stage
    because: tuple[str, ...]


def redone(old: Plan, new: Plan) -> tuple[Redone, ...]:
    """The stages of `new` that are not there where those of `old` are, in the order of the work.

    Both plans are whole. Two plans of one digest share everything.
    """
    if digest(old) == digest(new):
        return ()
    had, wanted = _keys(old), _keys(new)
    found = []
    for stage in STAGES:
        missing = {name: key for name, key in wanted[stage].items() if key not in had[stage].values()}
        if missing:
            found.append(Redone(stage, _because(stage, tuple(missing), old, new)))
    return tuple(found)


def _keys(plan: Plan) -> Mapping[Stage, Mapping[str, str]]:
    """The keys of everything that is made for a plan, by stage and name."""
    request = request_of(plan)
    rows = request_key(request)
    return {
        "sources": {source.name: source_key(source) for source in used_sources(request)},
        "model": _model(plan),
        "rows": {"rows": rows},
        "sequences": _sequences(plan, rows),
        "training": {"training": digest(plan)},
    }


def _model(plan: Plan) -> Mapping[str, str]:
    assert plan.model is not None  # noqa: S101 - the plan is whole
    assert plan.environment is not None  # noqa: S101
    if plan.model.kind != "gguf":
        return {}
    packages = plan.environment.packages
    return {file.name: converted_key(file.sha256, packages, "model") for file in plan.model.weights}


def _sequences(plan: Plan, rows: str) -> Mapping[str, str]:
    laid_out = plan.data.sequences if plan.data is not None else None
    return {} if laid_out is None else {"sequences": sequences_key(rows, laid_out.capacity)}


def _because(stage: Stage, missing: tuple[str, ...], old: Plan, new: Plan) -> tuple[str, ...]:
    if stage in ("sources", "model"):
        return missing
    if stage == "rows":
        return _differing(request_of(old), request_of(new))
    if stage == "sequences":
        return _of_sequences(old, new)
    parts = ((name, getattr(old, name), getattr(new, name)) for name in Plan.model_fields)
    return tuple(name for name, before, after in parts if before != after)


def _differing(old: Request, new: Request) -> tuple[str, ...]:
    names = (field.name for field in fields(Request))
    return tuple(name for name in names if getattr(old, name) != getattr(new, name))


def _of_sequences(old: Plan, new: Plan) -> tuple[str, ...]:
    rows = request_key(request_of(old)) != request_key(request_of(new))
    before = old.data.sequences if old.data is not None else None
    after = new.data.sequences if new.data is not None else None
    layout = before is None or after is None or before.capacity != after.capacity
    return ("rows",) * rows + ("packing",) * layout
