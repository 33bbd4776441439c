"""Forecasts of whole plans of one model over the same compiled rows, each on a device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from ftc.estimate import duration
from ftc.estimate.architecture import InexpressibleError
from ftc.estimate.batches import Lengths
from ftc.estimate.calibration import Found, on_machine
from ftc.estimate.catalogue import Device, PriceRange, find, price_range
from ftc.estimate.device import on_device
from ftc.estimate.duration import Duration
from ftc.estimate.fit import Target, needed, verdict
from ftc.estimate.forecast import Forecast, Memory
from ftc.estimate.lowering import training_step
from ftc.estimate.measured import subject
from ftc.estimate.own_prices import shared_prices
from ftc.estimate.step import TrainingStep
from ftc.estimate.workload import Workload, workload
from ftc.facts.machine import CudaDevice
from ftc.launch.calibration import calibration_for
from ftc.plan.steps import Plan

CPU_BASIS = "what PyTorch allocates on the CPU, and a process that has loaded it"
NO_ROWS = "its compiled rows are not at hand, without which no time can be told"


class Compiled(Protocol):
    """Where compiled rows are, and the sequences that were laid out of them last."""

    @property
    def directory(self) -> Path | None:
        """The directory of the shards."""

    @property
    def sequences(self) -> Path | None:
        """The directory of the sequences' file."""


@dataclass
class Builds:
    """The builds of one model's plans; what several devices have in common is read and counted once.

    `prices` are the recipe's own, in US dollars for an hour of a GPU, by its name; `shared` those of the file
    that FTC_PRICES names, which is read where they are None. `others` are the config.json of a teacher
    and of reward models, by their digests.
    """

    config: Mapping[str, Any]
    prices: Mapping[str, float]
    compiler: Compiled
    shared: Mapping[str, float] | None = None
    others: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    _places: dict[str, Path] = field(default_factory=dict)
    _lengths: dict[str, Lengths] = field(default_factory=dict)
    _works: dict[str, Workload] = field(default_factory=dict)

    def note(self, plan: Plan) -> None:
        """Remember where a plan's sequences are: those that were laid out last."""
        sequences = plan.data.sequences if plan.data is not None else None
        if sequences is not None and self.compiler.sequences is not None:
            self._places.setdefault(sequences.file.sha256, self.compiler.sequences)

    def where_it_runs(
        self, plan: Plan, target: Target, named: Device | None, mine: CudaDevice | None
    ) -> Forecast:
        """A plan on its own device: the GPU that was `named` for it, or that of this machine, or its CPU."""
        known = find(mine.name) if mine is not None else None
        return self.forecast(plan, target, named or known, here=named is None or named == known)

    def forecast(self, plan: Plan, target: Target, gpu: Device | None, *, here: bool) -> Forecast:
        """A plan on a device, which is an entry of the catalogue where that is known."""
        if plan.train is None:
            return Forecast(target.name, here=here, settings={})
        price = self._price(gpu) if gpu is not None else None
        forecast = Forecast(target.name, here=here, settings=_settings(plan), price=price)
        try:
            step = training_step(plan, self.config, device=target, others=self.others)
            forecast = replace(forecast, memory=_memory(step, target.memory))
            time, why = self._time(plan, step, gpu, here=here)
        except InexpressibleError as error:
            return replace(forecast, unknown=(str(error),))
        return replace(forecast, duration=time, unknown=(why,) if why else ())

    def _price(self, gpu: Device) -> PriceRange | None:
        shared = shared_prices().prices if self.shared is None else self.shared
        return price_range(gpu, dict(self.prices), shared)

    def _time(
        self, plan: Plan, step: TrainingStep, gpu: Device | None, *, here: bool
    ) -> tuple[Duration | None, str]:
        """How long it takes, as measured where this machine was, and what there is to say of that."""
        if self.compiler.directory is None:
            return None, NO_ROWS
        work = self._work(plan, step)
        found = calibration_for(plan, step) if here else Found(None)
        if found.calibration is not None:
            return on_machine(work, found.calibration, subject(plan, step)), ""
        if gpu is not None:
            return duration.on_device(work, gpu), found.note
        return None, found.note or "this machine was not measured: `ftc calibrate` does that"

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
