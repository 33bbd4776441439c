"""What a training computes: micro-batches, what other models read of them, and answers that are sampled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ftc.estimate.batches import expected_longest, micro_batches
from ftc.estimate.flops import Amounts, Attends, StepFlops, kernel_of, step_flops
from ftc.estimate.play import scoring, teaching
from ftc.estimate.step import SCORED, TrainingStep
from ftc.estimate.work import NO_WORK, Work, answered, rewritten

if TYPE_CHECKING:
    from ftc.estimate.batches import Lengths, MicroBatches
    from ftc.plan.steps import Part, Plan, TrainStep

SHORT = 0.25
"""The part of the longest sampled answer that the least time is told for; nothing says where answers end."""


@dataclass(frozen=True, slots=True)
class Trained:
    """The passes of a whole training.

    `reference` are passes without gradient, of whatever model; `generation` writes sampled answers that are
    as long as they may be, and `fewest` those of a part of that, with which the others shrink to `least`.
    """

    training: Work
    reference: Work
    generation: Work = NO_WORK
    fewest: Work = NO_WORK
    least: float = 1.0
    spread: float = 0.0
    basis: str = ""


def micro_batch(step: TrainingStep) -> tuple[Work, Work, Work]:
    """One micro-batch of a step as it stands: trained, read without gradient, and written by generation.

    A pair of DPO is two rows; KTO's drift is read by the model and by its reference.
    Answers that are sampled are written by the model's own generate, a pass a token.
    """
    counted, batch = step_flops(step), step.batch
    rows = step.sequences
    lengths = list(batch.packed) or [batch.length] * rows
    attends = Attends.of(kernel_of(step), masked=batch.padded or bool(batch.packed))
    compared = attends.pairs(lengths, padded_to=batch.length, packed=bool(batch.packed))
    positions = float(rows * batch.length)
    if step.loss.kernel == "trl" and batch.trained is not None:
        positions = float(batch.trained)
    amounts = Amounts(float(rows * batch.length), compared, positions)
    trained = Work(1.0, amounts.tokens, counted.training.of(amounts))
    return trained, read_beside(step, counted, Work(1.0, amounts.tokens), amounts), _generated(step, counted)


def read_beside(step: TrainingStep, counted: StepFlops, passes: Work, amounts: Amounts) -> Work:
    """The passes without gradient beside those that train: of a reference, a teacher, or the model itself.

    Rows that tell KTO's drift are as long as those that train, near enough: their answers change places.
    """
    objective, found = step.objective, NO_WORK
    if objective.reference in ("model", "adapter"):
        found = replace(passes, operations=counted.base.of(amounts))
    if objective.drift:
        found = found.scaled(2)
    if objective.drift or objective.kind == "rloo":
        found = found.plus(replace(passes, operations=counted.forward.of(amounts)))
    if objective.teacher is not None:
        teacher = step_flops(teaching(step, objective.teacher)).forward
        found = found.plus(replace(passes, operations=teacher.of(amounts)))
    for scorer in objective.scorers:
        read = step_flops(scoring(step, scorer)).forward
        calls = passes.calls * max(1.0, step.batch.rows / SCORED)
        found = found.plus(replace(passes, calls=calls, operations=read.of(replace(amounts, positions=0.0))))
    return found


def _generated(step: TrainingStep, counted: StepFlops) -> Work:
    """The passes that write sampled answers: the prompt once, then a token at a time."""
    objective = step.objective
    if not objective.generations:
        return NO_WORK
    prompt = float(objective.prompt or 1)
    return _written(step, counted, objective.generations, (prompt, prompt**2), objective.completion or 1)


def _written(
    step: TrainingStep, counted: StepFlops, rows: float, prompt: tuple[float, float], count: int
) -> Work:
    """Answers of so many tokens to prompts as long as the mean of the longest, with its square."""
    longest, squared = prompt
    if not step.objective.cached:
        return rewritten(rows, longest, count, counted.forward)
    return answered(rows, longest, count, Amounts(rows * longest, rows * squared, rows), counted.forward)


def trained_work(plan: Plan, step: TrainingStep, lengths: Lengths) -> Trained:
    """The passes of a plan's training; the step's batch is left aside. Raises InexpressibleError."""
    assert plan.train is not None  # noqa: S101 - the caller has looked
    assert plan.data is not None  # noqa: S101
    counted = step_flops(step)
    if step.tuning.virtual:
        lengths = replace(lengths, rows=lengths.rows + step.tuning.virtual)
    if step.objective.sampled:
        return _sampled(plan.train, step, lengths, counted)
    found = micro_batches(plan.train, lengths, kernel_of(step), members=step.sequences // step.batch.rows)
    amounts = found.amounts
    if step.loss.kernel == "trl" and step.backend == "cuda":
        amounts = replace(amounts, positions=_with_loss(plan.data.train, plan.train, lengths))
    if step.objective.generations:
        return _followed(plan, step, lengths, counted, replace(found, amounts=amounts))
    passes = Work(found.calls, amounts.tokens, counted.training.of(amounts))
    return Trained(
        passes, read_beside(step, counted, passes, amounts), spread=found.spread, basis=found.basis
    )


def _with_loss(part: Part, train: TrainStep, lengths: Lengths) -> float:
    """Tokens with loss of a whole training, of which a repeated row has its own each time."""
    passes = train.steps * train.batch / max(lengths.units, 1)
    return part.trained_tokens * len(lengths.rows) / max(part.rows, 1) * passes


def _amounts(step: TrainingStep, rows: float, before: tuple[float, float], count: float) -> Amounts:
    """Rows of a prompt, filled up to the longest, and so many more tokens."""
    longest, squared = before
    attends = Attends.of(step.attention, masked=True)
    pairs = rows * (squared + 2 * longest * count + count**2)
    positions = rows * (count if step.backend == "cuda" else longest + count - 1)
    return Amounts(rows * (longest + count), pairs if attends.later else pairs / 2, positions)


def _sampled(train: TrainStep, step: TrainingStep, lengths: Lengths, counted: StepFlops) -> Trained:
    """Each step samples answers to all its prompts at once, and trains on them a micro-batch at a time."""
    each = (step.objective.generations or 1) // train.batch
    longest = expected_longest(train, lengths, train.batch)
    count, calls = step.objective.completion or 1, float(train.steps * train.accumulation)

    def of(tokens: float) -> Amounts:
        return _amounts(step, train.micro_batch * each, longest, tokens).scaled(calls)

    def writes(tokens: int) -> Work:
        return _written(step, counted, train.batch * each, longest, tokens).scaled(train.steps)

    whole, few = of(count), max(1, round(count * SHORT))
    passes = Work(calls, whole.tokens, counted.training.of(whole))
    return Trained(
        passes,
        read_beside(step, counted, passes, whole),
        generation=writes(count),
        fewest=writes(few),
        least=of(few).tokens / whole.tokens,
        basis=f"sampled answers as long as they may be, and at least a {SHORT:.0%} of that",
    )


def _followed(
    plan: Plan, step: TrainingStep, lengths: Lengths, counted: StepFlops, found: MicroBatches
) -> Trained:
    """Micro-batches of a distillation, a part of which has answers that the student writes itself."""
    assert plan.train is not None  # noqa: S101 - the caller has looked
    assert plan.data is not None  # noqa: S101
    assert plan.objective is not None  # noqa: S101
    own, part = float(str(plan.objective.options["on_policy"])), plan.data.train
    prompt = max(0.0, 1 - part.trained_tokens / max(part.tokens, 1))
    calls, count = found.calls * own, step.objective.completion or 1
    longest = expected_longest(plan.train, lengths, plan.train.micro_batch)
    before = (longest[0] * prompt, longest[1] * prompt**2)
    rows = plan.train.micro_batch

    def of(tokens: float) -> Amounts:
        given = found.amounts.scaled(1 - own)
        return given.plus(
            replace(_amounts(step, rows, before, tokens), positions=rows * (before[0] + tokens - 1)).scaled(
                calls
            )
        )

    def writes(tokens: int) -> Work:
        return _written(step, counted, rows, before, tokens).scaled(calls)

    whole, few = of(count), max(1, round(count * SHORT))
    passes = Work(found.calls, whole.tokens, counted.training.of(whole))
    return Trained(
        passes,
        read_beside(step, counted, passes, whole),
        generation=writes(count),
        fewest=writes(few),
        least=of(few).tokens / whole.tokens,
        spread=found.spread,
        basis=f"{found.basis}; the student's own answers as long as they may be",
    )
