"""What `ftc calibrate` measured on a machine, kept as JSON, and the durations that follow from it.

Passes of each kind were timed at a few sizes. Through them goes a line, seconds = a * passes + b * operations
(least squares of the relative errors, neither below zero), and how far the times lie from it is the range's
width. What happens once (imports, loading, the trainer, a checkpoint) is taken as it was.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Annotated, Literal

from pydantic import Field, Strict, ValidationError

from ftc.estimate.duration import SURE, Duration, summed
from ftc.estimate.range import NOTHING, Range, total
from ftc.estimate.workload import Evaluation, Work, Workload
from ftc.recipe.base import Frozen

Kind = Literal["training", "losses", "answers", "labels"]
Seconds = Annotated[float, Field(ge=0)]
CLOSEST = 0.05
"""The least part by which a predicted time may be off: a machine is not the same from hour to hour."""

OTHER_MODEL = 0.5
"""Part by which it may be off where another model or tuning was measured."""


class Machine(Frozen):
    """What decides how fast a machine computes: its device, the threads, and PyTorch's version."""

    device: Literal["cpu", "cuda", "mps"]
    name: str
    threads: int
    torch: str


class Subject(Frozen):
    """What was run: a model by its config.json, and how it is tuned."""

    model: str
    config_sha256: str
    method: str
    dtype: str
    checkpointing: bool
    layers: int
    trained: int


class Sample(Frozen):
    """One timed piece of work: `calls` passes with so many tokens and operations.

    `adapted` says whether adapters were there; the `first` of its kind pays for what is made lazily.
    """

    kind: Kind
    adapted: bool
    first: bool
    calls: float
    tokens: float
    flops: float
    seconds: Seconds


class Once(Frozen):
    """Something done once, and the bytes it was done for."""

    seconds: Seconds
    bytes: float


class Calibration(Frozen):
    """A measured machine. `start` ends where the model is loaded, `trainer` where the first step begins.

    `step` is what an optimizer step takes beside its micro-batches; `end` lies between its last word
    and the end of the process.
    """

    format: Literal[1] = 1
    date: str
    machine: Machine
    subject: Subject
    samples: Annotated[tuple[Sample, ...], Strict(strict=False)]
    start: Seconds
    load: Once
    trainer: Seconds
    step: Seconds
    checkpoint: Once
    save: Once
    end: Seconds = 0.0


@dataclass(frozen=True, slots=True)
class Law:
    """Seconds of a pass, and of an operation, and by what part a time may be off."""

    call: float
    flop: float
    spread: float

    def seconds(self, calls: float, flops: float) -> float:
        """The likely time of some passes."""
        return self.call * calls + self.flop * flops


def law(samples: Sequence[Sample]) -> Law:
    """The line through samples of one kind; those of one size count once, by their median."""
    sizes: dict[tuple[float, float], list[float]] = defaultdict(list)
    for sample in samples:
        sizes[sample.calls, sample.flops].append(sample.seconds)
    points = [(calls, flops, median(times)) for (calls, flops), times in sizes.items()]
    call, flop = _least_squares(points)
    off = [sample.seconds / (call * sample.calls + flop * sample.flops) - 1 for sample in samples]
    deviation = (sum(part**2 for part in off) / len(off)) ** 0.5
    return Law(call, flop, max(CLOSEST, SURE * deviation))


def _least_squares(points: Iterable[tuple[float, float, float]]) -> tuple[float, float]:
    """The a and b, not below zero, for which a * x + b * y is closest to each time, as a part of it."""
    scaled = [(calls / seconds, flops / seconds) for calls, flops, seconds in points]
    aa, bb, ab = (sum(x * y for x, y in pairs) for pairs in _products(scaled))
    a, b = (sum(column) for column in zip(*scaled, strict=True))
    determinant = aa * bb - ab * ab
    if determinant > 1e-9 * aa * bb:
        call, flop = (a * bb - b * ab) / determinant, (b * aa - a * ab) / determinant
        if call >= 0 and flop >= 0:
            return call, flop
    by_call, by_flop = (a / aa, 0.0) if aa else (0.0, 0.0), (0.0, b / bb) if bb else (0.0, 0.0)
    return min(
        (by_flop, by_call), key=lambda found: sum((found[0] * x + found[1] * y - 1) ** 2 for x, y in scaled)
    )


def _products(scaled: list[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    return [[(x, x) for x, _ in scaled], [(y, y) for _, y in scaled], scaled]


FALLBACK: dict[Kind, tuple[Kind, ...]] = {
    "training": ("training",),
    "losses": ("losses", "training"),
    "answers": ("answers", "losses", "training"),
    "labels": ("labels", "losses", "training"),
}
"""Kinds whose times stand for those of a kind that was not measured."""


@dataclass(frozen=True, slots=True)
class _Measured:
    """A calibration as it applies to a workload."""

    found: Calibration
    work: Workload
    same: bool

    def _samples(self, kind: Kind, *, adapted: bool) -> tuple[list[Sample], bool]:
        """Samples for a kind of pass, and whether they are of that kind itself."""
        for name in FALLBACK[kind]:
            for with_adapters in (adapted, not adapted):
                some = [s for s in self.found.samples if s.kind == name and s.adapted == with_adapters]
                if some:
                    return some, name == kind and with_adapters == adapted
        raise ValueError(f"the calibration has no sample for {kind}")

    def passes(self, kind: Kind, work: Work, *, adapted: bool) -> Range:
        """The time of passes of a kind, and what the first of them takes beyond the others."""
        if not work.calls:
            return NOTHING
        samples, own = self._samples(kind, adapted=adapted)
        later = [sample for sample in samples if not sample.first] or samples
        line = law(later)
        deeper = self.work.traits.layers / self.found.subject.layers
        once = sum(max(0.0, s.seconds - line.seconds(s.calls, s.flops)) for s in samples if s.first)
        likely = line.seconds(work.calls * deeper, work.flops) + (once if own else 0.0)
        spread = line.spread if self.same and own else max(line.spread, OTHER_MODEL)
        return Range.around(likely, spread)

    def once(self, did: Once, size: float) -> Range:
        """The time of something done once; more bytes take longer, fewer no less."""
        longer = max(1.0, size / did.bytes) if did.bytes else 1.0
        return Range.around(did.seconds * longer, 0.25)

    def training(self) -> Range:
        """Micro-batches with what others read of them, sampled answers, and what comes with each step."""
        read = self.work.training.operations.plus(self.work.reference.operations)
        batches = self.passes("training", replace(self.work.training, operations=read), adapted=True)
        varied = SURE * self.work.spread
        batches = Range(batches.low * (1 - min(varied, 1.0)), batches.likely, batches.high * (1 + varied))
        longer = max(1.0, self.work.traits.trained / max(self.found.subject.trained, 1))
        steps = Range.around(self.work.steps * self.found.step * longer, 0.25)
        few, most = (
            self.passes("answers", part, adapted=True) for part in (self.work.fewest, self.work.generation)
        )
        batches = Range(batches.low * self.work.least, batches.likely, batches.high)
        written = Range(few.low, most.likely, most.high)
        return total((batches, steps, written, Range.around(self.found.trainer, 0.25)))

    def evaluation(self, part: Evaluation | None, *, adapted: bool) -> Range:
        """Losses, answers and labels of the held-out rows."""
        if part is None:
            return NOTHING
        ways = (part.fewest, part.likely, part.most)
        few, likely, most = (self.passes("answers", way, adapted=adapted) for way in ways)
        losses = self.passes("losses", part.losses, adapted=adapted)
        labels = self.passes("labels", part.labels, adapted=adapted)
        return total((losses, Range(few.low, likely.likely, most.high), labels))


def on_machine(work: Workload, found: Calibration, subject: Subject) -> Duration:
    """The duration on a machine that was measured; `subject` is what is to be run there."""
    measured = _Measured(found, work, same=_alike(found.subject, subject))
    checkpoint = measured.once(found.checkpoint, work.checkpoint)
    parts = {
        "start": Range.around(found.start + found.end, 0.25),
        "load": measured.once(found.load, work.loaded),
        "evaluation before": measured.evaluation(work.before, adapted=False),
        "training": measured.training(),
        "evaluation while training": measured.passes("losses", work.watched, adapted=True),
        "checkpoints": checkpoint.scaled(work.checkpoints),
        "evaluation after": measured.evaluation(work.after, adapted=True),
        "save": measured.once(found.save, work.saved),
    }
    return summed(parts, _basis(found, same=measured.same), measured=found.date)


def _basis(found: Calibration, *, same: bool) -> str:
    what = (
        "" if same else f" with {found.subject.model}, {found.subject.method}, which this recipe does not run"
    )
    return f"measured on {found.date} on this machine ({found.machine.name}){what}"


def _alike(one: Subject, other: Subject) -> bool:
    """Whether one was measured for the other; the model's name and place do not matter."""
    return one.model_copy(update={"model": other.model}) == other


@dataclass(frozen=True, slots=True)
class Found:
    """The calibration that applies, if any, and what there is to say of one that does not."""

    calibration: Calibration | None
    note: str = ""


def keep(found: Calibration, directory: Path) -> Path:
    """Write a calibration in place of an older one of the same machine and subject. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    about = (found.machine.model_dump(), found.subject.model_dump(exclude={"model"}))
    name = sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    path = directory / f"{name}.json"
    part = path.with_suffix(".part")
    part.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    part.replace(path)
    return path


def kept(directory: Path) -> list[Calibration]:
    """Every calibration in a directory that can be read, the newest first."""
    found = []
    for path in sorted(directory.glob("*.json")) if directory.is_dir() else ():
        with suppress(OSError, ValidationError):
            found.append(Calibration.model_validate_json(path.read_bytes()))
    return sorted(found, key=lambda each: each.date, reverse=True)


def find(directory: Path, machine: Machine, subject: Subject) -> Found:
    """The calibration of this very machine: of the same model and tuning if there is one, else the newest."""
    every = kept(directory)
    mine = [each for each in every if each.machine == machine]
    if mine:
        return Found(next((each for each in mine if _alike(each.subject, subject)), mine[0]))
    older = [each for each in every if each.machine.name == machine.name]
    return Found(None, _stale(older[0].machine, machine) if older else "")


def _stale(then: Machine, now: Machine) -> str:
    """Why a calibration of this device does not apply any more."""
    changed = [
        f"{what} {before}, now {after}"
        for what, before, after in (
            ("device", then.device, now.device),
            ("threads", then.threads, now.threads),
            ("torch", then.torch, now.torch),
        )
        if before != after
    ]
    return (
        f"the calibration of this machine does not apply any more ({'; '.join(changed)}): run `ftc calibrate`"
    )
