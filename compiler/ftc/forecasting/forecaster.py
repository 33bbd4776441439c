"""Forecast a planned build: on the device that the plan is for, and on other GPUs of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from ftc.diagnostics import Severity
from ftc.estimate import duration
from ftc.estimate.architecture import InexpressibleError
from ftc.estimate.batches import Lengths
from ftc.estimate.calibration import Found, on_machine
from ftc.estimate.catalogue import Device, PriceRange, devices, find, price_range
from ftc.estimate.device import on_device
from ftc.estimate.duration import Duration
from ftc.estimate.fit import Target, needed, verdict
from ftc.estimate.forecast import Forecast, Forecasts, Memory, by_cost
from ftc.estimate.lowering import training_step
from ftc.estimate.measured import subject
from ftc.estimate.own_prices import shared_prices
from ftc.estimate.requested import requested_gpu
from ftc.estimate.step import TrainingStep
from ftc.estimate.workload import Workload, workload
from ftc.facts.cache import Cache
from ftc.forecasting.remembered import forecast_key, remembered
from ftc.launch.calibration import calibration_for
from ftc.plan.context import Context
from ftc.plan.fitting import target_of
from ftc.plan.steps import Plan
from ftc.plan.variants import Variants

SHOWN = 6
"""GPUs that are shown beside the plan's own device unless others are asked for: the cheapest."""

ALL = "all"
CPU_BASIS = "what PyTorch allocates on the CPU, and a process that has loaded it"


class Compiled(Protocol):
    """Where compiled rows are, and the sequences that were laid out of them last."""

    @property
    def directory(self) -> Path | None:
        """The directory of the shards."""

    @property
    def sequences(self) -> Path | None:
        """The directory of the sequences' file."""


@dataclass
class Forecaster:
    """Forecasts of one whole plan; what several devices have in common is read and counted once."""

    plan: Plan
    context: Context
    compiler: Compiled
    cache: Cache
    _places: dict[str, Path] = field(default_factory=dict)
    _lengths: dict[str, Lengths] = field(default_factory=dict)
    _works: dict[str, Workload] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._note(self.plan)

    def _note(self, plan: Plan) -> None:
        """Remember where a plan's sequences are: those that were laid out last."""
        sequences = plan.data.sequences if plan.data is not None else None
        if sequences is not None and self.compiler.sequences is not None:
            self._places.setdefault(sequences.file.sha256, self.compiler.sequences)

    def own(self) -> Forecast:
        """The build on the device that the plan is for."""
        return remembered(self.cache, self._key("own"), lambda: (self._own(),))[0]

    def on(self, gpus: Sequence[Device]) -> tuple[Forecast, ...]:
        """The build on GPUs of the catalogue, each as it would be planned there."""
        key = self._key(",".join(gpu.name for gpu in gpus))
        return remembered(self.cache, key, lambda: self._on(gpus))

    def _key(self, asked: str) -> str:
        return forecast_key(self.plan, self.context, asked)

    def _own(self) -> Forecast:
        named, mine = requested_gpu(self.context.recipe), self.context.facts.gpu
        known = find(mine.name) if mine is not None else None
        target = target_of(self.plan, self.context)
        return self._forecast(self.plan, target, named or known, here=named is None or named == known)

    def forecasts(self, gpus: Sequence[str] | None) -> Forecasts:
        """The build where the plan is for, and on GPUs by name, or on `all`.

        Some of the cheapest are taken where none is named, and no others where `gpus` is None.
        """
        own = self.own()
        if gpus is None:
            return Forecasts(own)
        if gpus and ALL not in gpus:
            return Forecasts(own, self.on([named for name in gpus if (named := find(name)) is not None]))
        others = tuple(one for one in self.on(list(devices().values())) if one.device != own.device)
        if gpus:
            return Forecasts(own, others)
        shown = tuple(by_cost(others)[:SHOWN])
        return Forecasts(own, shown, tuple(one for one in others if one not in shown))

    def own_step(self) -> TrainingStep:
        """The plan's training step on the device that it is for. Raises InexpressibleError."""
        return training_step(self.plan, self._config, device=target_of(self.plan, self.context))

    def _on(self, gpus: Sequence[Device]) -> tuple[Forecast, ...]:
        variants = Variants(self.plan, self.context)
        found = []
        for gpu in gpus:
            plan, findings = variants.on(gpu.name)
            self._note(plan)
            target = Target(gpu.name, gpu.memory, gpu.capability, stated=True)
            forecast = self._forecast(plan, target, gpu, here=False)
            wrong = tuple(one.message for one in findings if one.severity == Severity.ERROR)
            found.append(replace(forecast, unknown=(*forecast.unknown, *wrong)))
        return tuple(found)

    def _forecast(self, plan: Plan, target: Target, gpu: Device | None, *, here: bool) -> Forecast:
        """A plan on a device, which is an entry of the catalogue where that is known."""
        if plan.train is None:
            return Forecast(target.name, here=here, settings={})
        price = self._price(gpu) if gpu is not None else None
        forecast = Forecast(target.name, here=here, settings=_settings(plan), price=price)
        try:
            step = training_step(plan, self._config, device=target)
            forecast = replace(forecast, memory=_memory(step, target.memory))
            time, why = self._time(plan, step, gpu, here=here)
        except InexpressibleError as error:
            return replace(forecast, unknown=(str(error),))
        return replace(forecast, duration=time, unknown=(why,) if why else ())

    def _price(self, gpu: Device) -> PriceRange | None:
        return price_range(gpu, self.context.recipe.hardware.prices, shared_prices().prices)

    def _time(
        self, plan: Plan, step: TrainingStep, gpu: Device | None, *, here: bool
    ) -> tuple[Duration | None, str]:
        """How long it takes, as measured where this machine was, and what there is to say of that."""
        work = self._work(plan, step)
        found = calibration_for(plan, step) if here else Found(None)
        if found.calibration is not None:
            return on_machine(work, found.calibration, subject(plan, step)), ""
        if gpu is not None:
            return duration.on_device(work, gpu), found.note
        return None, found.note or "this machine was not measured: `ftc calibrate` does that"

    @property
    def _config(self) -> dict[str, Any]:
        return dict(self.context.facts.model.config)

    def _work(self, plan: Plan, step: TrainingStep) -> Workload:
        """The plan's work, which does not hang on the device but by its settings."""
        same = step.model_copy(update={"device": None}).model_dump_json()
        if same not in self._works:
            lengths = self._of_batches(plan)
            self._works[same] = _of_all(workload(plan, step, lengths), plan, lengths)
        return self._works[same]

    def _of_batches(self, plan: Plan) -> Lengths:
        assert plan.data is not None  # noqa: S101 - the plan is whole
        assert self.compiler.directory is not None  # noqa: S101
        sequences = plan.data.sequences
        key = sequences.file.sha256 if sequences is not None else ""
        if key not in self._lengths:
            from ftc.data.kept.batch_lengths import batch_lengths

            labels = plan.eval.labels if plan.eval is not None else ()
            place = self._places.get(key)
            self._lengths[key] = batch_lengths(self.compiler.directory, place, plan.data, labels)
        return self._lengths[key]


def _of_all(work: Workload, plan: Plan, lengths: Lengths) -> Workload:
    """The work with the evaluation of all held-out rows, where a sample of them was compiled."""
    assert plan.data is not None  # noqa: S101 - the plan is whole
    rows = len(lengths.heldout.lengths) if lengths.heldout is not None else 0
    if plan.data.eval is None or not rows or plan.data.eval.rows == rows:
        return work
    factor = plan.data.eval.rows / rows
    parts = {name: part.scaled(factor) for name in ("before", "after") if (part := getattr(work, name))}
    return replace(work, **parts)


def _settings(plan: Plan) -> dict[str, int | str | bool]:
    assert plan.train is not None  # noqa: S101 - the plan is whole
    assert plan.model is not None  # noqa: S101
    return {
        "dtype": plan.model.dtype,
        "micro_batch": plan.train.micro_batch,
        "accumulation": plan.train.accumulation,
        "gradient_checkpointing": bool(plan.train.arguments.get("gradient_checkpointing")),
        "packing": bool(plan.packing and plan.packing.packed),
    }


def _memory(step: TrainingStep, capacity: int | None) -> Memory:
    needs = needed(step)
    found, basis = needs.estimate, CPU_BASIS
    shown = (needs.bytes, needs.bytes, needs.bytes)
    if step.backend == "cuda":
        seen = on_device(step, found)
        shown, basis = seen.process, seen.basis
    return Memory(
        peak=found.peak,
        allocated=needs.allocated,
        needed=needs.bytes,
        segment=found.segment,
        breakdown=found.breakdown,
        shown=shown,
        capacity=capacity,
        verdict=verdict(needs.bytes, capacity) if capacity else None,
        basis=basis,
    )
