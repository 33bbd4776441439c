"""What a whole build computes, from its plan and the lengths of its rows: training, evaluation, files.

Evaluation's batches are known exactly, because its order is; training's are known in expectation over the
sampler's orders, each row being as likely as any other to stand beside any other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING

from ftc.estimate.batches import EvaluationBatch, Lengths, by_length, label_passes, losses, prompts
from ftc.estimate.fallback import Runs, told
from ftc.estimate.flops import Amounts, Attends, Operations, StepFlops, step_flops
from ftc.estimate.ledger import WEIGHTS
from ftc.estimate.play import prepared, scoring
from ftc.estimate.step import BYTES, Dtype, TrainingStep
from ftc.estimate.suites import assumed, needs, on_held_out, own_parts
from ftc.estimate.training_work import micro_batch, trained_work
from ftc.estimate.work import NO_WORK, Work, answered

if TYPE_CHECKING:
    from ftc.plan.steps import EvalStep, Plan, TrainStep

READ = 2
"""Times that the model's files are read: for their digests, then to be loaded."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation by kind of passes: losses of whole rows, answers written, labels tried behind prompts.

    How much is written depends on where answers end: `fewest` if each ends where the held-out rows' own do,
    `most` if none ends before the limit; `likely` is the one for a trained model, the other for its base.
    """

    losses: Work = NO_WORK
    fewest: Work = NO_WORK
    likely: Work = NO_WORK
    most: Work = NO_WORK
    labels: Work = NO_WORK

    def plus(self, other: Evaluation) -> Evaluation:
        """Both of them, one after the other."""
        return Evaluation(
            self.losses.plus(other.losses),
            self.fewest.plus(other.fewest),
            self.likely.plus(other.likely),
            self.most.plus(other.most),
            self.labels.plus(other.labels),
        )

    def scaled(self, factor: float) -> Evaluation:
        """The evaluation of so many times the rows."""
        works = (self.losses, self.fewest, self.likely, self.most, self.labels)
        return Evaluation(*(work.scaled(factor) for work in works))


@dataclass(frozen=True, slots=True)
class Traits:
    """What of the model and its tuning decides how long a pass takes beyond its operations.

    `method` is `full`, `freeze`, `lora` or `qlora`; `layers` those of the decoder; `weights` the bytes that
    one pass reads of them, `cache` the bytes of keys and values a token leaves, `pair` the operations of
    attention for each pair of tokens.
    """

    method: str
    dtype: Dtype
    layers: int
    hidden: int
    weights: float
    cache: float
    pair: float
    trained: int
    checkpointing: bool


@dataclass(frozen=True, slots=True)
class Workload:
    """A build's work by part; sizes are in bytes.

    `training` counts micro-batches as calls; `reference` are passes without gradient beside them, of a
    reference model or a teacher, `generation` writes answers that are sampled, as long as they may be, or
    `fewest` if they end early, when the rest shrinks to the part `least`. `spread` is how far training's
    tokens vary (standard deviation), as a part of them, and
    `basis` how they are known. `watched` are the losses of the held-out rows evaluated while training, over
    all its steps, as nothing says whether it will end earlier. `loaded` is read at the start, `checkpoint`
    written `checkpoints` times, and `saved` once.
    """

    traits: Traits
    training: Work
    steps: int
    spread: float = 0.0
    least: float = 1.0
    reference: Work = NO_WORK
    generation: Work = NO_WORK
    fewest: Work = NO_WORK
    before: Evaluation | None = None
    after: Evaluation | None = None
    watched: Work = NO_WORK
    loaded: float = 0.0
    checkpoint: float = 0.0
    checkpoints: int = 0
    saved: float = 0.0
    basis: str = ""

    @property
    def flops(self) -> float:
        """Operations of the whole build, evaluation's likely ones."""
        works = [self.training, self.reference, self.generation, self.watched]
        for part in (self.before, self.after):
            works += [part.losses, part.likely, part.labels] if part else []
        return sum(work.flops for work in works)


def traits(step: TrainingStep) -> Traits:
    """What a step's model and tuning are like. Raises InexpressibleError."""
    return _about(step).traits


@dataclass(frozen=True, slots=True)
class _About:
    """A step's traits, and the bytes of its base's weights as they are kept."""

    traits: Traits
    base: float


def _about(step: TrainingStep) -> _About:
    return told(_listed, _by_abstract_run, step)


def _method(step: TrainingStep) -> str:
    if not step.tuning.adapts:
        return step.tuning.method
    return "qlora" if step.quantisation else "lora"


def _computed(step: TrainingStep) -> Dtype:
    return step.autocast or (step.quantisation.compute if step.quantisation else step.weights)


def _by_abstract_run(runs: Runs, step: TrainingStep) -> _About:
    counts = runs.counts(step)
    found = Traits(
        method=_method(step),
        dtype=_computed(step),
        layers=counts.layers,
        hidden=counts.hidden,
        weights=counts.weights,
        cache=counts.cache,
        pair=counts.forward.pair,
        trained=round(counts.trained),
        checkpointing=step.checkpointing != "none",
    )
    return _About(found, counts.base)


def _listed(step: TrainingStep) -> _About:
    play = prepared(step)
    shapes = play.shapes
    held = sum(sum(stack.bytes.values()) * count for stack, count in play.stacks())
    trained = sum(p.numel * count for stack, count in play.stacks() for p in stack.trained)
    width = BYTES[step.autocast or step.weights]
    found = Traits(
        method=_method(step),
        dtype=_computed(step),
        layers=shapes.layers,
        hidden=shapes.hidden,
        weights=float(held),
        cache=2.0 * shapes.layers * shapes.key_values * width,
        pair=4.0 * shapes.layers * shapes.queries,
        trained=trained,
        checkpointing=step.checkpointing != "none",
    )
    base = sum(stack.bytes.get(WEIGHTS, 0) * count for stack, count in play.stacks())
    return _About(found, float(base))


def workload(plan: Plan, step: TrainingStep, lengths: Lengths) -> Workload:
    """The work of a plan's build; `step` is its training step, whose batch is left aside.

    Raises InexpressibleError for a model that the count has no account of, and ValueError where the plan is
    not finished.
    """
    if plan.train is None or plan.data is None or plan.model is None:
        raise ValueError("the plan has no training step yet")
    counted, known = step_flops(step), _about(step)
    about = known.traits
    found = trained_work(plan, step, lengths)
    saved = _saved(step, known)
    return Workload(
        traits=about,
        training=found.training,
        steps=plan.train.steps,
        spread=found.spread,
        least=found.least,
        reference=found.reference,
        generation=found.generation,
        fewest=found.fewest,
        before=_evaluation(plan, lengths, step, counted, trained=False),
        after=_evaluation(plan, lengths, step, counted, trained=True),
        watched=_watched(plan, lengths, step, counted),
        loaded=_loaded(plan, step, known.base),
        checkpoint=saved + 2 * BYTES[step.optimizer.state] * about.trained,
        checkpoints=_checkpoints(plan.train),
        saved=saved,
        basis=found.basis,
    )


def _evaluations(train: TrainStep) -> int:
    """How often the held-out loss is evaluated in all steps."""
    return -(-train.steps // train.watch.every) if train.watch else 0


def _checkpoints(train: TrainStep) -> int:
    """Checkpoints that are written, if every evaluation is the best so far where the best is kept."""
    best = _evaluations(train) if train.watch and train.watch.keep == "best" else 0
    return -(-train.steps // train.save_every) + best


def _watched(plan: Plan, lengths: Lengths, step: TrainingStep, counted: StepFlops) -> Work:
    """The losses of all held-out rows, as often as they are evaluated while training."""
    heldout = lengths.heldout
    if plan.train is None or plan.train.watch is None or plan.model is None or heldout is None:
        return NO_WORK
    import numpy as np

    kernel = (step.evaluation.attention if step.evaluation else None) or step.attention
    every = np.arange(len(heldout.lengths))
    batches = list(by_length(every, heldout.lengths, plan.train.watch.batch, plan.model.vocabulary))
    once = _work(len(batches), losses(heldout, batches, Attends.of(kernel, masked=True)), counted.forward)
    return once.scaled(_evaluations(plan.train))


def base_bytes(plan: Plan, step: TrainingStep) -> float:
    """Bytes that are read to load a plan's model. Raises InexpressibleError."""
    return _loaded(plan, step, _about(step).base)


def _loaded(plan: Plan, step: TrainingStep, held: float) -> float:
    assert plan.model is not None  # noqa: S101 - the caller has looked
    files = sum(file.bytes for file in plan.model.weights)
    base = held if plan.model.kind in ("gguf", "run") else files
    again = step.objective.reference == "model"
    teacher = plan.objective.teacher if plan.objective is not None else None
    more = sum(file.bytes for file in teacher.weights) if teacher is not None else 0
    scorers = sum(_about(scoring(step, scorer)).base for scorer in step.objective.scorers)
    return float(READ * (base + more + scorers) + again * base)


def _saved(step: TrainingStep, known: _About) -> float:
    """Bytes of the weights that are saved: the adapters, or the whole model."""
    if step.tuning.adapts:
        return float(known.traits.trained * BYTES[step.tuning.dtype])
    return known.base


def _evaluation(
    plan: Plan, lengths: Lengths, step: TrainingStep, counted: StepFlops, *, trained: bool
) -> Evaluation | None:
    """All suites put to the base, or to the trained model with its adapters, if there are any rows.

    Rows of a suite's own count as if each were as long as the mean of its suite.
    """
    parts = [(suite, lengths.heldout) for suite in on_held_out(plan)]
    parts += [(suite, assumed(part)) for suite, part in own_parts(plan, trained=trained)]
    more = step.tuning.virtual if trained else 0
    found = [
        _suite(plan, suite, replace(lengths, heldout=rows.longer(more)), step, counted, trained=trained)
        for suite, rows in parts
        if rows is not None and len(rows.lengths)
    ]
    return reduce(Evaluation.plus, found) if found and plan.model is not None else None


def _suite(
    plan: Plan, suite: EvalStep, lengths: Lengths, step: TrainingStep, counted: StepFlops, *, trained: bool
) -> Evaluation:
    """One suite, on the rows that stand as held out in the lengths."""
    import numpy as np

    assert plan.model is not None  # noqa: S101 - the caller has looked
    assert lengths.heldout is not None  # noqa: S101
    heldout, need = lengths.heldout, needs(suite)
    kernel = (step.evaluation.attention if step.evaluation else None) or step.attention
    attends = Attends.of(kernel, masked=True)
    forward = counted.forward if trained else counted.base
    size, vocabulary = suite.batch, plan.model.vocabulary
    every = np.arange(len(heldout.lengths))
    whole = list(by_length(every, heldout.lengths, size, vocabulary))
    asked = list(by_length(np.flatnonzero(heldout.prompts), heldout.prompts, size, vocabulary))
    found = Evaluation()
    if step.objective.texts:  # anchors, and then positives
        return replace(found, losses=_work(len(whole), losses(heldout, whole, attends), forward).scaled(2))
    if step.objective.scores:
        once = _work(len(whole), losses(heldout, whole, attends), forward)
        return replace(found, losses=once.scaled(2 if "pairs" in need else 1))
    if need & {"loss", "pairs"}:
        once = _work(len(whole), losses(heldout, whole, attends), forward)
        found = replace(found, losses=once.scaled(("loss" in need) + 2 * ("pairs" in need)))
    if "answers" in need:
        few, most = _answers(plan, suite, lengths, asked, attends, forward)
        found = replace(found, fewest=few, most=most, likely=few if trained else most)
    if "labels" in need:
        found = replace(found, labels=_labels(lengths, asked, attends, forward))
    if "choices" in need:
        found = replace(found, labels=found.labels.plus(_work(len(asked), prompts(asked, attends), forward)))
    return found


def _work(calls: int, amounts: Amounts, forward: Operations) -> Work:
    return Work(float(calls), amounts.tokens, forward.of(amounts))


def _answers(
    plan: Plan,
    suite: EvalStep,
    lengths: Lengths,
    batches: list[EvaluationBatch],
    attends: Attends,
    forward: Operations,
) -> tuple[Work, Work]:
    """Answers of a model that stops where the rows do, and of one that never does."""
    assert plan.model is not None  # noqa: S101
    assert lengths.heldout is not None  # noqa: S101
    few, most = Work(), Work()
    for batch in batches:
        rows, first = len(batch.rows), prompts([batch], attends)
        limit = min(suite.max_new_tokens, max(1, plan.model.context_length - batch.longest))
        own = int(lengths.heldout.answers[batch.rows].max())
        few = few.plus(answered(rows, batch.longest, max(1, min(own, limit)), first, forward))
        most = most.plus(answered(rows, batch.longest, limit, first, forward))
    return few, most


def _labels(lengths: Lengths, batches: list[EvaluationBatch], attends: Attends, forward: Operations) -> Work:
    """Prompts that are read, and labels tried behind each."""
    work = _work(len(batches), prompts(batches, attends), forward)
    for batch in batches:
        for amounts in label_passes(len(batch.rows), batch.longest, lengths.labels):
            work = work.plus(_work(1, amounts, forward))
    return work


__all__ = ["NO_WORK", "Work", "Workload", "answered", "base_bytes", "micro_batch", "traits", "workload"]
