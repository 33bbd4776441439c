"""Times of real work as samples of a calibration: what each piece computed, counted as in a forecast."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field, Strict

from ftc.estimate.batches import label_passes
from ftc.estimate.calibration import Kind, Once, Sample, Subject
from ftc.estimate.flops import Amounts, Attends, StepFlops, step_flops
from ftc.estimate.step import TrainingStep
from ftc.estimate.training_work import read_beside
from ftc.estimate.work import Work, answered
from ftc.estimate.workload import Traits, traits
from ftc.plan.steps import Plan
from ftc.recipe.base import Frozen

Integers = Annotated[tuple[int, ...], Strict(strict=False)]


class Timed(Frozen):
    """A timed piece of work as the runtime tells it (`runtime/measure.py`)."""

    kind: Kind
    adapted: bool
    first: bool
    seconds: Annotated[float, Field(gt=0)]
    lengths: Integers
    positions: int = 0
    written: int = 0
    labels: Integers = ()
    packed: bool = False


class Measured(Frozen):
    """All that the runtime measured: single pieces of work, and by name what happened once."""

    threads: int
    device: str
    once: dict[str, float]
    samples: Annotated[tuple[Timed, ...], Strict(strict=False)]

    def happened(self, name: str, size: float | None = None) -> Once:
        """Something that happened once, for so many bytes, or for as many as were written."""
        written = self.once.get(f"{name} bytes", 0.0) if size is None else size
        return Once(seconds=self.once[name], bytes=written)


def samples(measured: Measured, step: TrainingStep) -> tuple[Sample, ...]:
    """The timed pieces of work with what each computed. Raises InexpressibleError."""
    counted = step_flops(step)
    return tuple(_sample(timed, step, counted) for timed in measured.samples)


def _sample(timed: Timed, step: TrainingStep, counted: StepFlops) -> Sample:
    work = (_training if timed.kind == "training" else _evaluation)(timed, step, counted)
    return Sample(
        kind=timed.kind,
        adapted=timed.adapted,
        first=timed.first,
        calls=work.calls,
        tokens=work.tokens,
        flops=work.flops,
        seconds=timed.seconds,
    )


def _training(timed: Timed, step: TrainingStep, counted: StepFlops) -> Work:
    rows, longest, packed = len(timed.lengths), max(timed.lengths), timed.packed
    attends = Attends.of(step.attention, masked=packed or min(timed.lengths) < longest)
    tokens = sum(timed.lengths) if packed else rows * longest
    compared = attends.pairs(timed.lengths, padded_to=longest, packed=packed)
    positions = float(tokens - (1 if packed else rows))
    if step.loss.kernel == "trl" and step.backend == "cuda":
        positions = float(timed.positions)
    amounts = Amounts(float(tokens), compared, positions)
    trained = Work(1.0, amounts.tokens, counted.training.of(amounts))
    read = read_beside(step, counted, trained, amounts).operations
    return replace(trained, operations=trained.operations.plus(read))


def _evaluation(timed: Timed, step: TrainingStep, counted: StepFlops) -> Work:
    forward = counted.forward if timed.adapted else counted.base
    rows, longest = len(timed.lengths), max(timed.lengths)
    kernel = (step.evaluation.attention if step.evaluation else None) or step.attention
    compared = Attends.of(kernel, masked=True).pairs(timed.lengths, padded_to=longest)
    positions = rows * timed.positions if timed.kind == "losses" else rows
    amounts = Amounts(float(rows * longest), compared, float(positions))
    if timed.kind == "answers":
        return answered(rows, longest, timed.written, amounts, forward)
    work = Work(1.0, amounts.tokens, forward.of(amounts))
    for more in label_passes(rows, longest, timed.labels):
        work = work.plus(Work(1.0, more.tokens, forward.of(more)))
    return work


def subject(plan: Plan, step: TrainingStep, about: Traits | None = None) -> Subject:
    """What a plan runs, as far as it decides how long that takes. Raises InexpressibleError."""
    assert plan.model is not None  # noqa: S101 - a plan with a step has a model
    known = about or traits(step)
    dtype: Literal["float32", "bfloat16", "float16"] = known.dtype
    return Subject(
        model=plan.model.location,
        config_sha256=plan.model.config_sha256,
        method=known.method,
        dtype=dtype,
        checkpointing=known.checkpointing,
        layers=known.layers,
        trained=known.trained,
    )
