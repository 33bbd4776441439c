"""How long a build takes on a device of the catalogue, or on a machine that was measured.

On a GPU a pass takes as long as its matrix products at the device's rate and its other traffic at the
device's bandwidth, but no less than the host needs to start its kernels; a written token no less than reading
the weights. The constants are those of speeds.toml, with their sources. On a measured machine it is what was
measured, by a line through a few sizes (`calibration`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftc.estimate.architecture import InexpressibleError
from ftc.estimate.range import NOTHING, Range, total
from ftc.estimate.speeds import Record, Speeds, speeds
from ftc.estimate.step import Batch, Quantisation, TrainingStep, Tuning
from ftc.estimate.workload import Evaluation, Traits, Work, Workload, micro_batch, traits

if TYPE_CHECKING:
    from ftc.estimate.catalogue import Device

STATES = 28
"""Bytes read and written for each trained weight by a step of AdamW: weight, gradient and both states."""

BACKWARD = 2
"""A backward pass in forward passes: it makes gradients of inputs and of what comes before them."""

SURE = 2.0
"""Standard deviations to either side that a range takes in."""


@dataclass(frozen=True, slots=True)
class Duration:
    """Seconds in all, by part, and in a sentence what they are from; `measured` is the day, if they are."""

    total: Range
    parts: dict[str, Range]
    basis: str
    measured: str | None = None


def summed(parts: dict[str, Range], basis: str, measured: str | None = None) -> Duration:
    """The duration of parts, without those that take no time."""
    kept = {name: part for name, part in parts.items() if part.high > 0}
    return Duration(total(kept.values()), kept, basis, measured)


def on_device(work: Workload, device: Device) -> Duration:
    """The duration on a device of the catalogue.

    Raises InexpressibleError where the device does not compute in the model's dtype.
    """
    rate = device.flops.get(work.traits.dtype)
    if rate is None:
        raise InexpressibleError(f"{device.name} does not compute in {work.traits.dtype}")
    gpu = _Gpu(rate, device.bandwidth, work.traits, speeds())
    training = gpu.training(work)
    parts = {
        "start": gpu.table["start"],
        "load": _moved(work.loaded, gpu.table),
        "evaluation before": gpu.evaluation(work.before, adapted=False),
        "training": training,
        "evaluation while training": gpu.passes(work.watched, 1, adapted=True),
        "checkpoints": _moved(work.checkpoint * work.checkpoints, gpu.table),
        "evaluation after": gpu.evaluation(work.after, adapted=True),
        "save": _moved(work.saved, gpu.table),
    }
    known = any(record.device == device.name for record in gpu.table.records)
    if not known:
        by = gpu.table["other devices"].high
        computed = ("evaluation before", "training", "evaluation while training", "evaluation after")
        parts |= {name: _wider(parts[name], by) for name in computed}
    return summed(parts, _basis(work, device, gpu.table, known=known))


def predicted(record: Record) -> Range:
    """Seconds that the constants give for a published micro-batch, on the record's own device."""
    from ftc.estimate.catalogue import find

    table, device = speeds(), find(record.device)
    if device is None:
        raise InexpressibleError(f"{record.device} is not in the catalogue")
    step = TrainingStep(
        config=table.models[record.model],
        tuning=_tuning(record),
        batch=Batch(rows=record.rows, length=record.length),
        quantisation=Quantisation(kind="nf4") if record.method == "qlora" else None,
        checkpointing="reentrant",
    )
    gpu = _Gpu(device.flops["bfloat16"], device.bandwidth, traits(step), table)
    return gpu.passes(micro_batch(step)[0], 1 + BACKWARD + 1, adapted=True)


def _tuning(record: Record) -> Tuning:
    if record.method == "full":
        return Tuning(method="full")
    return Tuning(method="lora", rank=record.rank, targets=record.targets)


def _basis(work: Workload, device: Device, table: Speeds, *, known: bool) -> str:
    dates = sorted(constant.date for constant in table.constants.values())
    own = "" if known else ", widened as no measurement is of this device"
    return (
        f"{work.flops:.3g} floating-point operations ({work.basis}) at the rates of {device.name}, "
        f"with constants from published fine-tuning on A100 GPUs, {dates[0].year} to {dates[-1].year}{own}"
    )


def _moved(size: float, table: Speeds) -> Range:
    """Seconds to read or write so many bytes of a file."""
    return _over(size, table["disk"]) if size else NOTHING


def _over(amount: float, rate: Range) -> Range:
    """The time of an amount at a rate: the shortest at the highest."""
    return Range(amount / rate.high, amount / rate.likely, amount / rate.low)


def _wider(part: Range, by: float) -> Range:
    return Range(part.low * (1 - by), part.likely, part.high * (1 + by))


def _product(one: Range, other: Range) -> Range:
    return Range(one.low * other.low, one.likely * other.likely, one.high * other.high)


def _longer(one: Range, other: Range) -> Range:
    return Range(max(one.low, other.low), max(one.likely, other.likely), max(one.high, other.high))


def shrunk(part: Range, least: float) -> Range:
    """The range whose lowest value is so small a part of what it was."""
    return Range(part.low * least, part.likely, part.high)


@dataclass(frozen=True, slots=True)
class _Gpu:
    """A device's rates for one model: FLOP/s in its dtype, bytes/s, and the constants."""

    rate: float
    bandwidth: float
    traits: Traits
    table: Speeds

    def training(self, work: Workload) -> Range:
        """Micro-batches, optimizer steps, and what a reference model reads or generation writes."""
        forwards = 1 + BACKWARD + self.traits.checkpointing
        batches = self.passes(work.training, forwards, adapted=True)
        varied = Range.around(1.0, SURE * work.spread)
        states = Range.exactly(work.steps * self.traits.trained * STATES / self.bandwidth)
        read = shrunk(self.passes(work.reference, 1, adapted=False), work.least)
        few, most = (self.written(part, adapted=True) for part in (work.fewest, work.generation))
        written = Range(few.low, most.likely, most.high)
        return total((shrunk(_product(batches, varied), work.least), states, read, written))

    def passes(self, work: Work, forwards: float, *, adapted: bool) -> Range:
        """Passes that count as so many forward passes each beside their matrix products."""
        if not work.calls:
            return NOTHING
        traits = self.traits
        share = self.table["matrix products"].scaled(self.rate)
        touched = traits.hidden * traits.layers * work.tokens * forwards / self.bandwidth
        traffic = self.table["traffic"].scaled(touched * (2 if traits.dtype == "float32" else 1))
        if traits.method == "qlora":
            traffic = _product(traffic, self.table["quantised traffic"])
        computed = _over(work.flops, share).plus(traffic)
        return _longer(computed, self._launched(work.calls * forwards, adapted=adapted))

    def _launched(self, forwards: float, *, adapted: bool) -> Range:
        once = self.table["launch"].scaled(self.traits.layers * forwards)
        adapters = adapted and self.traits.method in ("lora", "qlora")
        return _product(once, self.table["adapter launch"]) if adapters else once

    def written(self, work: Work, *, adapted: bool) -> Range:
        """Tokens written one after another, a call each: as long as weights and cache are read."""
        if not work.calls:
            return NOTHING
        traits = self.traits
        cache = traits.cache * work.operations.attention / traits.pair
        size = work.calls * traits.weights + cache
        reading = _over(size, self.table["bandwidth"].scaled(self.bandwidth))
        computed = _over(work.flops, self.table["matrix products"].scaled(self.rate))
        return _longer(_longer(reading, computed), self._launched(work.calls, adapted=adapted))

    def evaluation(self, part: Evaluation | None, *, adapted: bool) -> Range:
        """Losses, answers and labels of the held-out rows."""
        if part is None:
            return NOTHING
        few, likely, most = (self.written(w, adapted=adapted) for w in (part.fewest, part.likely, part.most))
        answers = Range(few.low, likely.likely, most.high)
        read = (self.passes(w, 1, adapted=adapted) for w in (part.losses, part.labels))
        return total((answers, *read))
