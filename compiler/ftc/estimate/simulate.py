"""The step played through in bytes: two layers stand for all of a kind, and every segment's peak is noted."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from ftc.estimate import layer, litgpt
from ftc.estimate.architecture import Architecture, InexpressibleError, architecture
from ftc.estimate.attention import Heads
from ftc.estimate.layer import Surroundings, norm
from ftc.estimate.ledger import ACTIVATIONS, GRADIENTS, KINDS, OPTIMIZER, TEMPORARIES, Block, Ledger, rounded
from ftc.estimate.loss import loss
from ftc.estimate.ops import FULL, dropout, scaled
from ftc.estimate.optimizer import Need, need, scratch
from ftc.estimate.sharding import devices, gathered, share
from ftc.estimate.step import BYTES, TrainingStep
from ftc.estimate.tape import SAME, Parameter, Tape, Tensor
from ftc.estimate.weights import Builder, Stack, ends
from ftc.estimate.weights import decoder_layer as layer_weights

LAYERS = {"transformers": layer.decoder_layer, "litgpt": litgpt.decoder_layer}
"""A decoder layer by whose code runs it."""

FLASH_2 = (2, 2)
"""PyTorch with FlashAttention-2; the first version lays its output out by tokens, however queries lie."""

FEW_TOKENS = 3072
"""Up to so many tokens the embedding's backward is one kernel without scratch."""

INDEX = 8
"""Bytes of a token id or a label."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the step: the most bytes held in it, and what they were."""

    name: str
    peak: int
    held: tuple[int, ...]


@dataclass(slots=True)
class Group:
    """`count` layers alike, of which one is played."""

    stack: Stack
    count: int
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


def prepared(step: TrainingStep) -> Play:
    """The step's parameters, and the ledger with what is there before the forward pass."""
    shapes = architecture(step.config)
    tuning = step.tuning
    full = tuning.method == "full"
    build = Builder(step, shapes, trains=full or tuning.embedding or tuning.head)
    outer = ends(build, embedding=full or tuning.embedding, head=full or tuning.head)
    play = Play(step, shapes, outer, _groups(step, shapes))
    for stack, count in play.stacks():
        for kind, size in stack.bytes.items():
            play.ledger.hold(share(step, kind, size * count), kind)
    return play


def _groups(step: TrainingStep, shapes: Architecture) -> list[Group]:
    """The layers in order: the first alone, as nothing before it needs gradients; then runs of equal ones."""
    trained = step.tuning.layers if step.tuning.method == "freeze" else shapes.layers
    kinds = [
        (shapes.experts.count > 0 and index >= shapes.dense_layers, index >= shapes.layers - trained)
        for index in range(shapes.layers)
    ]
    groups: list[Group] = []
    last = None
    for index, kind in enumerate(kinds):
        sparse, trains = kind
        if kind == last and index > 1:
            groups[-1].count += 1
            continue
        last = kind
        build = Builder(step, shapes, trains=trains and step.tuning.method != "lora")
        groups.append(Group(layer_weights(build, sparse=sparse), 1))
    return groups


def forward(play: Play, tape: Tape, *, rows: int, length: int) -> Tensor:
    """The decoder's last hidden states, before the last norm."""
    step = play.step
    around = surroundings(play, rows=rows, length=length)
    x = _embedded(play, tape, rows * length)
    mask = rows * length**2 * x.width if step.attention == "eager" else 0
    play.mask = Block(play.ledger, mask, TEMPORARIES)
    reentrant = step.checkpointing == "reentrant"
    for group in play.groups:
        before = play.ledger.held.copy()
        group.mark = len(tape.nodes)
        part = partial(_run_layer, tape, group.stack, around)
        gather = Block(play.ledger, gathered(step, group.stack), TEMPORARIES)
        if step.checkpointing != "none" and tape.recording:
            x = tape.checkpoint(part, x, reentrant=reentrant, trains=bool(group.stack.trained))
        else:
            x = part(x)
        del gather
        group.passing = [*tape.cached, *(t.block for t in tape.cast_weights.values() if t.block)]
        for block in group.passing:
            if block.kind == TEMPORARIES:
                block.become(ACTIVATIONS)
        tape.cached.clear()
        tape.cast_weights.clear()
        change = play.change_since(before)
        play.note("forward", play.repeat(_kept(change), group.count - 1))
    return x


def _leave(play: Play) -> None:
    """Leave the model's forward pass: autocast's cache goes, and keys and values kept for a generation."""
    if play.step.checkpointing == "none":
        play.mask = None
    for group in play.groups:
        before = play.ledger.held.copy()
        group.passing.clear()
        play.repeat(play.change_since(before), group.count - 1)


def _kept(change: list[int]) -> list[int]:
    """What a layer keeps of its change: the residual stream that replaced the former one is no addition."""
    return [value if kind != TEMPORARIES else 0 for kind, value in enumerate(change)]


def _run_layer(tape: Tape, stack: Stack, around: Surroundings, x: Tensor) -> Tensor:
    return LAYERS[around.library](tape, x, stack, around)


def surroundings(play: Play, *, rows: int, length: int) -> Surroundings:
    """What the layers share, in a batch of `rows` of `length` tokens."""
    step, shapes = play.step, play.shapes
    heads = Heads(
        rows,
        length,
        shapes.heads,
        shapes.keys,
        shapes.head,
        shapes.attention_dropout,
        mask=step.attention in ("eager", "math"),
        softcap=shapes.family.softcap,
        head_major=shapes.head_major and step.code.release("torch") >= FLASH_2,
    )
    width = FULL if step.code.library == "litgpt" else _stream(play)
    positions = Tensor(None, length * shapes.rotary, width)
    fused = frozenset(step.code.fused)
    return Surroundings(
        shapes,
        heads,
        step.attention,
        fused,
        positions,
        keeps_cache=step.code.keeps_cache,
        library=step.code.library,
    )


def _stream(play: Play) -> int:
    """Bytes of an element of the residual stream."""
    return play.ends.others["embedding"].width


def _embedded(play: Play, tape: Tape, tokens: int) -> Tensor:
    shapes, step = play.shapes, play.step
    table = play.ends.others["embedding"]
    scratch = embedding_scratch(tokens, shapes)
    x = tape.op(tokens * shapes.hidden, table.width, ((tape.leaf(table), table.bytes),), temporary=scratch)
    if step.tuning.method == "lora" and step.checkpointing != "none" and tape.recording and x.node is None:
        x.node = Parameter(x.numel, x.width, trains=True)
        play.leaf = x.block
    if "positions" in play.ends.others:
        places = play.ends.others["positions"]
        x = tape.op(x.numel, x.width, ((x, SAME), (tape.leaf(places), places.bytes)))
    if shapes.family.scaled_embedding:
        x = scaled(tape, x)
    return dropout(tape, x, shapes.dropout if shapes.family.learned else 0.0)


def embedding_scratch(tokens: int, shapes: Architecture) -> int:
    """Bytes of sorted indices and partial sums in the embedding's backward (EmbeddingBackwardKernel.cu)."""
    if tokens <= FEW_TOKENS:
        return 0
    sums = -(-tokens // 10) + min(tokens, shapes.vocabulary)
    return 4 * tokens * INDEX + sums * shapes.hidden * FULL


def simulate(step: TrainingStep) -> Play:
    """Play a step through: load, forward, loss, backward, optimizer, evaluation, save."""
    if step.sharding.kind.startswith("zero"):
        raise InexpressibleError("DeepSpeed's ZeRO partitions with buckets and buffers of its own")
    if step.code.library not in LAYERS:
        raise InexpressibleError(f"{step.code.library}'s modelling code has no account yet")
    play = prepared(step)
    ledger = play.ledger
    _load(play)
    needs = [(need(step.optimizer, p), count) for stack, count in play.stacks() for p in stack.trained]
    split = devices(step.sharding)
    ledger.hold(sum(each.states * count for each, count in needs) // split, OPTIMIZER)
    if step.sharding.kind == "ddp":
        buckets = sum(p.bytes * count for stack, count in play.stacks() for p in stack.trained)
        ledger.hold(buckets, GRADIENTS)
    ledger.restart()
    play.note("save")
    _evaluate(play)
    _accumulated(play)
    ledger.restart()
    _train(play)
    _optimise(play, needs)
    return play


def _load(play: Play) -> None:
    """The weights, and the largest of them once more on its way to the device."""
    ledger, outer = play.ledger, play.ends
    largest = max(p.bytes for p in (outer.others["embedding"], outer.linears["head"].weight))
    ledger.restart()
    moving = Block(ledger, largest, TEMPORARIES)
    del moving
    play.note("load")


def _accumulated(play: Play) -> None:
    if not play.step.batch.accumulated:
        return
    for stack, count in play.stacks():
        for parameter in stack.trained:
            whole = rounded(parameter.bytes) * count
            play.ledger.hold(whole // devices(play.step.sharding), GRADIENTS)
            parameter.keeps = False


def _tape(play: Play) -> Tape:
    step = play.step
    autocast = BYTES[step.autocast] if step.autocast else 0
    tape = Tape(play.ledger, autocast=autocast)
    tape.softcap = play.shapes.family.softcap
    tape.float16 = (step.autocast or step.weights) == "float16"
    return tape


def _train(play: Play) -> None:
    step = play.step
    batch = step.batch
    rows = batch.rows * (2 if step.objective.kind == "dpo" else 1)
    tape = _tape(play)
    inputs = Block(play.ledger, 3 * rows * batch.length * INDEX, TEMPORARIES)
    root = Block(play.ledger, gathered(step, play.ends) // 2, TEMPORARIES)
    hidden = forward(play, tape, rows=rows, length=batch.length)
    mark = len(tape.nodes)
    around = surroundings(play, rows=rows, length=batch.length)
    hidden = norm(tape, hidden, play.ends.norms["last"], around)
    out = loss(tape, hidden, play.ends.linears["head"], step.loss, batch.trained)
    del hidden
    tape.cast_weights.clear()
    play.note("loss forward")
    _leave(play)
    play.ledger.restart()
    tape.begin(out)
    tape.play(mark)
    play.note("loss backward")
    for index, group in reversed(list(enumerate(play.groups))):
        _back(play, tape, group, "backward of the last layer" if index else "end of backward")
    tape.play()
    play.note("end of backward")
    del inputs, root
    play.leaf = play.mask = None
    _scatter(play, play.ends)


def _scatter(play: Play, stack: Stack) -> None:
    """Keep this device's shard of the gradients of a stack."""
    split = devices(play.step.sharding)
    size = sum(rounded(p.bytes) for p in stack.trained if p.grad is not None)
    play.ledger.hold(size // split - size, GRADIENTS)


def _back(play: Play, tape: Tape, group: Group, name: str) -> None:
    ledger = play.ledger
    before = ledger.held.copy()
    gather = Block(ledger, gathered(play.step, group.stack), TEMPORARIES)
    tape.play(group.mark)
    del gather
    _scatter(play, group.stack)
    change = play.change_since(before)
    peak = (ledger.peak, ledger.at_peak)
    play.note(name)
    more = play.repeat(change, group.count - 1)
    if sum(more) > 0:
        ledger.peak, ledger.at_peak = peak
        play.note("end of backward", more)
    ledger.restart()


def _optimise(play: Play, needs: list[tuple[Need, int]]) -> None:
    play.ledger.restart()
    size = scratch(play.step.optimizer, needs) // devices(play.step.sharding)
    temporary = Block(play.ledger, size, TEMPORARIES)
    del temporary
    play.note("optimizer step")


def _evaluate(play: Play) -> None:
    step = play.step
    if step.evaluation is None:
        return
    tape = _tape(play)
    tape.recording = tape.training = False
    evaluation = step.evaluation
    hidden = forward(play, tape, rows=evaluation.rows, length=evaluation.length)
    around = surroundings(play, rows=evaluation.rows, length=evaluation.length)
    hidden = norm(tape, hidden, play.ends.norms["last"], around)
    kept = loss(tape, hidden, play.ends.linears["head"], step.loss, None)
    del kept, hidden
    play.mask = None
    play.segments = [s for s in play.segments if s.name != "forward"]
    play.note("evaluation")


__all__ = ["ACTIVATIONS", "KINDS", "Segment", "simulate"]
