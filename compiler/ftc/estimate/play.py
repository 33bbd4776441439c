"""A step on its way through the ledger: its parameters, layers by kind, and the peaks of its segments."""

from __future__ import annotations

from dataclasses import dataclass, field

from ftc.estimate.architecture import ENCODERS, FAMILIES, Architecture, InexpressibleError, architecture
from ftc.estimate.kernels import attention_of
from ftc.estimate.ledger import QUANTISATION, WEIGHTS, Block, Ledger
from ftc.estimate.sharding import share
from ftc.estimate.step import SCORED, Batch, Loss, Objective, Teacher, TrainingStep, Tuning
from ftc.estimate.weights import Builder, Stack, decoder_layer, encoder_ends, ends

ACCOUNTED: tuple[str, ...] = ()
"""PEFT's configurations beside LoRA's and IA3's that the closed form has an account of."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the step: the most bytes held in it, and what they were."""

    name: str
    peak: int
    held: tuple[int, ...]


@dataclass(slots=True)
class Group:
    """`count` layers alike, of which one is played; `slides` says whether they look at a window."""

    stack: Stack
    count: int
    slides: bool = False
    mark: int = 0
    passing: list[Block] = field(default_factory=list)


@dataclass(slots=True)
class Play:
    """A step on its way through the ledger."""

    step: TrainingStep
    shapes: Architecture
    ends: Stack
    groups: list[Group]
    ledger: Ledger = field(default_factory=Ledger)
    segments: list[Segment] = field(default_factory=list)
    leaf: Block | None = None
    mask: Block | None = None
    teacher: Play | None = None
    scorers: list[Play] = field(default_factory=list)

    def note(self, name: str, extra: list[int] | None = None) -> None:
        """End a segment; `extra` bytes by kind come on top of its peak."""
        held = self.ledger.at_peak
        if extra:
            held = [a + b for a, b in zip(held, extra, strict=True)]
        self.segments.append(Segment(name, sum(held), tuple(held)))
        self.ledger.restart()

    def change_since(self, before: list[int]) -> list[int]:
        """Bytes by kind that are held now and were not before."""
        return [now - then for now, then in zip(self.ledger.held, before, strict=True)]

    def stacks(self) -> list[tuple[Stack, int]]:
        """Every stack of parameters with how many there are of it."""
        return [(self.ends, 1), *((group.stack, group.count) for group in self.groups)]

    def repeat(self, change: list[int], times: int) -> list[int]:
        """Hold what `times` more layers change, by kind, and say how much that is."""
        more = [times * value for value in change]
        for kind, value in enumerate(more):
            self.ledger.held[kind] += value
        self.ledger.now += sum(more)
        return more


def prepared(step: TrainingStep, ledger: Ledger | None = None) -> Play:
    """The step's parameters, and the ledger with what is there before the forward pass."""
    encodes = step.objective.kind == "embedding"
    shapes = architecture(step.config, ENCODERS if encodes else FAMILIES)
    tuning = step.tuning
    if tuning.method == "peft" and tuning.peft["type"] not in ACCOUNTED:
        raise InexpressibleError(f"adapters of PEFT's {tuning.peft['type']} are not in the closed form")
    full = tuning.method == "full"
    build = Builder(step, shapes, trains=full or tuning.embedding or tuning.head)
    both = {"embedding": full or tuning.embedding, "head": full or tuning.head}
    outer = encoder_ends(build) if encodes else ends(build, **both)
    play = Play(step, shapes, outer, _groups(step, shapes), ledger or Ledger())
    for stack, count in play.stacks():
        for kind, size in stack.bytes.items():
            play.ledger.hold(share(step, kind, size * count), kind)
    if step.objective.reference == "model":
        _second_model(play)
    if step.objective.teacher is not None:
        play.teacher = prepared(teaching(step, step.objective.teacher), play.ledger)
        play.teacher.segments = play.segments
    for scorer in step.objective.scorers:
        other = prepared(scoring(step, scorer), play.ledger)
        other.segments = play.segments
        play.scorers.append(other)
    return play


def scoring(step: TrainingStep, scorer: Teacher) -> TrainingStep:
    """The step as a reward model takes part in it: whole, in its own dtype, over some answers at a time."""
    rows = min(SCORED, step.objective.generations or SCORED)
    changes = {
        "autocast": None,
        "batch": Batch(rows=rows, length=step.batch.length, padded=rows > 1),
        "objective": Objective(kind="reward", scores=1),
        "loss": Loss(kernel="scores"),
        "evaluation": None,
    }
    return teaching(step, scorer).model_copy(update=changes)


def teaching(step: TrainingStep, teacher: Teacher) -> TrainingStep:
    """The step as a teacher takes part in it: whole, in its own dtype, over the same rows."""
    changes = {
        "config": teacher.config,
        "weights": teacher.weights,
        "tuning": Tuning(method="full"),
        "quantisation": None,
        "objective": Objective(),
        "checkpointing": "none",
        "attention": "eager" if attention_of(teacher.config).softcap else step.attention,
    }
    return step.model_copy(update=changes)


def _second_model(play: Play) -> None:
    """The reference model's weights: those of the base, whole on every device."""
    for stack, count in play.stacks():
        for kind in (WEIGHTS, QUANTISATION):
            play.ledger.hold(stack.bytes.get(kind, 0) * count, kind)


def _groups(step: TrainingStep, shapes: Architecture) -> list[Group]:
    """The layers in order: the first alone, as nothing before it needs gradients; then runs of equal ones."""
    trained = step.tuning.layers if step.tuning.method == "freeze" else shapes.layers
    how = step.evaluation
    reach = max(step.batch.length, how.length if how is not None else 0)
    kinds = [
        (
            shapes.experts.count > 0 and index >= shapes.dense_layers,
            index >= shapes.layers - trained,
            shapes.slides(index, reach),
        )
        for index in range(shapes.layers)
    ]
    groups: list[Group] = []
    last = None
    for index, kind in enumerate(kinds):
        sparse, trains, slides = kind
        if kind == last and index > 1 and step.objective.kind != "embedding":  # whose passes are several
            groups[-1].count += 1
            continue
        last = kind
        build = Builder(step, shapes, trains=trains and not step.tuning.adapts)
        groups.append(Group(decoder_layer(build, sparse=sparse), 1, slides))
    return groups
