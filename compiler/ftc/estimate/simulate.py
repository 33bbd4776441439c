"""The step played through in bytes: two layers stand for all of a kind, and every segment's peak is noted."""

from __future__ import annotations

from functools import partial

from ftc.estimate import layer, litgpt
from ftc.estimate.architecture import Architecture, InexpressibleError
from ftc.estimate.attention import Heads
from ftc.estimate.layer import Surroundings, norm
from ftc.estimate.ledger import (
    ACTIVATIONS,
    GRADIENTS,
    KINDS,
    OPTIMIZER,
    TEMPORARIES,
    Block,
    rounded,
)
from ftc.estimate.loss import loss
from ftc.estimate.ops import FULL, dropout, scaled
from ftc.estimate.optimizer import Need, need, scratch
from ftc.estimate.play import Group, Play, Segment, prepared
from ftc.estimate.sharding import devices, gathered
from ftc.estimate.step import BYTES, TrainingStep
from ftc.estimate.tape import SAME, Parameter, Tape, Tensor
from ftc.estimate.weights import Stack

LAYERS = {
    "transformers": layer.decoder_layer,
    "torchtune": layer.decoder_layer,
    "litgpt": litgpt.decoder_layer,
}
"""A decoder layer by whose code runs it."""

FLASH_2 = (2, 2)
"""PyTorch with FlashAttention-2; the first version lays its output out by tokens, however queries lie."""

FEW_TOKENS = 3072
"""Up to so many tokens the embedding's backward is one kernel without scratch."""

INDEX = 8
"""Bytes of a token id or a label."""


def forward(play: Play, tape: Tape, *, rows: int, length: int) -> Tensor:
    """The decoder's last hidden states, before the last norm."""
    step = play.step
    around = surroundings(play, rows=rows, length=length)
    x = _embedded(play, tape, rows * length)
    size = rows * length**2 * (x.width if step.attention == "eager" else _masked(step))
    mask = Block(play.ledger, size, TEMPORARIES)
    if tape.recording:
        play.mask = mask
    reentrant = step.checkpointing == "reentrant"
    for group in play.groups:
        before = play.ledger.held.copy()
        if tape.recording:
            group.mark = len(tape.nodes)
        part = partial(_run_layer, tape, group.stack, around)
        gather = Block(play.ledger, gathered(step, group.stack), TEMPORARIES)
        if step.checkpointing != "none" and tape.recording:
            x = tape.checkpoint(part, x, reentrant=reentrant, trains=bool(group.stack.trained))
        else:
            x = part(x)
        del gather
        _pass_on(tape, group)
        change = play.change_since(before)
        play.note("forward", play.repeat(_kept(change), group.count - 1))
    return x


def _pass_on(tape: Tape, group: Group) -> None:
    """Keep with the group what outlives a layer until the model's forward pass ends."""
    if tape.recording:
        group.passing = [*tape.cached, *(t.block for t in tape.cast_weights.values() if t.block)]
        for block in group.passing:
            if block.kind == TEMPORARIES:
                block.become(ACTIVATIONS)
    tape.cached.clear()
    tape.cast_weights.clear()


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
        biased=_masked(step),
        head_major=shapes.head_major and step.code.release("torch") >= FLASH_2,
    )
    width = FULL if step.code.library != "transformers" else _stream(play)
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


def _masked(step: TrainingStep) -> bool:
    """Whether a boolean mask of every pair of tokens reaches PyTorch's attention."""
    return step.attention in ("efficient", "math") and (step.batch.padded or bool(step.batch.packed))


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
    _generate(play)
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
    if step.objective.reference in ("model", "adapter"):
        _unrecorded(play, rows, batch.length, "reference forward", adapters=False)
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
    _unrecorded(play, step.evaluation.rows, step.evaluation.length, "evaluation")


def _unrecorded(play: Play, rows: int, length: int, name: str, *, adapters: bool = True) -> None:
    """A forward pass with its loss and without a graph."""
    tape = _tape(play)
    tape.recording = tape.training = False
    tape.adapters = adapters
    noted = len(play.segments)
    hidden = forward(play, tape, rows=rows, length=length)
    hidden = norm(tape, hidden, play.ends.norms["last"], surroundings(play, rows=rows, length=length))
    kept = loss(tape, hidden, play.ends.linears["head"], play.step.loss, None)
    del kept, hidden
    play.note(name)
    play.segments[noted:] = [Segment(name, part.peak, part.held) for part in play.segments[noted:]]


def _generate(play: Play) -> None:
    """Completions by the model's own generate: the cache of keys and values at its longest.

    It grows by concatenation, which makes one layer's anew beside the old; logits are of one token each.
    """
    objective, shapes = play.step.objective, play.shapes
    if objective.kind != "grpo" or not objective.generations:
        return
    length = (objective.prompt or 1) + (objective.completion or 1)
    width = BYTES[play.step.autocast or play.step.weights]
    layer_cache = 2 * objective.generations * length * shapes.key_values * width
    logits = objective.generations * shapes.vocabulary * (width + 2 * FULL)
    cache = Block(play.ledger, layer_cache * (shapes.layers + 1) + logits, ACTIVATIONS)
    del cache
    play.note("generation")


__all__ = ["ACTIVATIONS", "KINDS", "Segment", "simulate"]
