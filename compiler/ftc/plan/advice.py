"""What would fit where a step does not: each change by itself, with its own predicted peak."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ftc import tuning
from ftc.estimate import catalogue
from ftc.estimate.architecture import InexpressibleError
from ftc.estimate.fit import GRAIN, Needed, Target, gib, largest, longest, needed, room
from ftc.estimate.lowering import Rows
from ftc.estimate.step import Sharding
from ftc.plan.steps import QuantiseStep

if TYPE_CHECKING:
    from ftc.plan.fitting import Trial

DEVICES = (2, 4, 8)
NF4 = QuantiseStep(kind="nf4", double=True)


def advice(trial: Trial, micro: int, again: bool) -> tuple[str, ...]:
    """Lines that say what would fit, what ftc can do itself first; `micro` and `again` are what does not."""
    lines: list[str] = []
    for way in (_fewer, _recomputed, _evaluation, _adapters, _quantised, _shorter, _larger, _several):
        try:
            lines += way(trial, micro, again)
        except InexpressibleError:
            continue
    return tuple(lines)


def _fewer(trial: Trial, micro: int, again: bool) -> Iterator[str]:
    assert trial.plan.train is not None  # noqa: S101 - the caller has filled it
    rows = largest(lambda count: trial.needed(count, again).bytes, trial.plan.train.batch, trial.limit)
    if rows and rows < micro:
        yield f"write micro_batch = {rows}: peak {gib(trial.needed(rows, again).bytes)}"


def _recomputed(trial: Trial, micro: int, again: bool) -> Iterator[str]:
    if again:
        return
    needs, fewer = trial.needed(micro, True), ""
    if needs.bytes > trial.limit and trial.plan.train is not None:
        rows = largest(lambda count: trial.needed(count, True).bytes, trial.plan.train.batch, trial.limit)
        needs, fewer = trial.needed(rows or 1, True), f" and micro_batch = {rows}"
    if needs.bytes <= trial.limit:
        yield f"write gradient_checkpointing = true{fewer}: peak {gib(needs.bytes)}"


def _evaluation(trial: Trial, micro: int, again: bool) -> Iterator[str]:
    """Fewer held-out rows at a time, where those are what does not fit."""
    settings = trial.plan.eval
    if settings is None or trial.needed(micro, again).estimate.segment != "evaluation":
        return

    def of(rows: int) -> Needed:
        plan = trial.plan.model_copy(update={"eval": settings.model_copy(update={"batch": rows})})
        return replace(trial, plan=plan).needed(micro, again)

    rows = largest(lambda count: of(count).bytes, settings.batch, trial.limit)
    if rows and rows < settings.batch:
        yield f"write batch = {rows} under [eval]: peak {gib(of(rows).bytes)}"


def _with(again: bool) -> str:
    return "" if again else " and gradient_checkpointing = true under [train]"


def _changed(trial: Trial, changes: dict[str, Any]) -> Needed | None:
    """What one row needs with checkpointing and changes of the step, if that fits."""
    needs = needed(trial.step(1, True).model_copy(update=changes))
    return needs if needs.bytes <= trial.limit else None


def _adapters(trial: Trial, _: int, again: bool) -> Iterator[str]:
    tune = trial.plan.tune
    if tune is None or tune.peft is not None:
        return
    method = tuning.load("lora")
    lora = method.lower(method.options(method="lora"), None)
    other = replace(trial, plan=trial.plan.model_copy(update={"tune": lora}))
    needs = other.needed(1, True)
    if needs.bytes <= trial.limit:
        yield f'write method = "lora" under [tune]{_with(again)}: peak {gib(needs.bytes)}'


def _quantised(trial: Trial, _: int, again: bool) -> Iterator[str]:
    tune, step = trial.plan.tune, trial.step(1, True)
    if tune is None or step.tuning.method != "lora" or step.backend != "cuda" or tune.quantise is not None:
        return
    few = tune.model_copy(update={"method": "qlora", "quantise": NF4})
    needs = replace(trial, plan=trial.plan.model_copy(update={"tune": few})).needed(1, True)
    if needs.bytes <= trial.limit:
        yield f'write method = "qlora" under [tune]{_with(again)}: peak {gib(needs.bytes)}'


def _shorter(trial: Trial, _: int, again: bool) -> Iterator[str]:
    data = trial.plan.data
    if data is None:
        return

    def of(length: int) -> Needed:
        packed = trial.plan.packing is not None and trial.plan.packing.packed
        held = Rows(data.eval.rows, length, min(length, data.eval.shortest)) if data.eval else None
        rows = Rows(data.train.rows, length, min(length, data.train.shortest), packed=packed)
        return replace(trial, rows=rows, held_out=held).needed(1, True)

    most = max(data.train.longest, data.eval.longest if data.eval else 0)
    length = longest(lambda tokens: of(tokens).bytes, most, trial.limit) if most > GRAIN else None
    if length and length < most:
        place = f"max_length = {length} and too_long under [data]"
        yield f"write {place}{_with(again)}: peak {gib(of(length).bytes)}"


def _larger(trial: Trial, micro: int, again: bool) -> Iterator[str]:
    """The smallest GPU of the catalogue on which the step fits as it is."""
    if trial.step(1, again).backend != "cuda":
        yield 'write gpu = "auto" under [hardware]: the plan is then for a GPU that has room for it'
        return
    for device in sorted(catalogue.devices().values(), key=lambda one: one.memory):
        if device.memory <= (trial.target.memory or 0) or device.capability.startswith("gfx"):
            continue
        target = Target(device.name, device.memory, device.capability, stated=True)
        needs = replace(trial, target=target).needed(micro, again)
        if needs.bytes <= room(device.memory, trial.headroom):
            yield (
                f'write gpu = "{device.name}" under [hardware]: '
                f"peak {gib(needs.bytes)} of {gib(device.memory)}"
            )
            return


def _several(trial: Trial, _: int, __: bool) -> Iterator[str]:
    if trial.step(1, True).backend != "cuda":
        return
    for count in DEVICES:
        needs = _changed(trial, {"sharding": Sharding(kind="fsdp2", devices=count)})
        if needs is not None:
            yield (
                f"{count} such devices (FSDP) would fit, which ftc does not offer yet: "
                f"peak {gib(needs.bytes)} on each"
            )
            return
