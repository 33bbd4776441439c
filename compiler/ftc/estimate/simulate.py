"""The step played through in bytes: two layers stand for all of a kind, and every segment's peak is noted."""

from __future__ import annotations

from functools import partial

from ftc.estimate import encoder
from ftc.estimate.architecture import InexpressibleError
from ftc.estimate.forward import INDEX, forward, surroundings, tape_of
from ftc.estimate.heldout import evaluate, watch
from ftc.estimate.layer import norm
from ftc.estimate.ledger import (
    ACTIVATIONS,
    GRADIENTS,
    KINDS,
    LOGITS,
    OPTIMIZER,
    TEMPORARIES,
    Block,
    rounded,
)
from ftc.estimate.loss import logits_of
from ftc.estimate.losses import loss
from ftc.estimate.ops import FULL, cast
from ftc.estimate.optimizer import Need, need, scratch
from ftc.estimate.play import Group, Play, Segment, prepared
from ftc.estimate.sampled import generate
from ftc.estimate.sharding import devices, gathered
from ftc.estimate.step import BYTES, TrainingStep
from ftc.estimate.tape import Kept, Parameter, Tape
from ftc.estimate.weights import Stack


def _leave(play: Play) -> None:
    """Leave the model's forward pass: autocast's cache goes, and keys and values kept for a generation."""
    if play.step.checkpointing == "none":
        play.mask = None
    for group in play.groups:
        before = play.ledger.held.copy()
        group.passing.clear()
        play.repeat(play.change_since(before), group.count - 1)


def simulate(step: TrainingStep) -> Play:
    """Play a step through: load, forward, loss, backward, optimizer, evaluation, save."""
    if step.sharding.kind.startswith("zero"):
        raise InexpressibleError("DeepSpeed's ZeRO partitions with buckets and buffers of its own")
    play = prepared(step)
    ledger = play.ledger
    _load(play)
    if step.evaluation is not None and step.evaluation.positions is not None:
        evaluate(play, step.evaluation)
    needs = [(_needed(play, p), count) for stack, count in play.stacks() for p in stack.trained]
    split = devices(step.sharding)
    ledger.hold(sum(each.states * count for each, count in needs) // split, OPTIMIZER)
    if step.sharding.kind == "ddp":
        buckets = sum(p.bytes * count for stack, count in play.stacks() for p in stack.trained)
        ledger.hold(buckets, GRADIENTS)
    ledger.restart()
    play.note("save")
    if step.evaluation is not None:
        watch(play, step.evaluation)
    _evaluate(play)
    generate(play)
    _read_first(play)
    _accumulated(play)
    ledger.restart()
    (encoder.train if step.objective.kind == "embedding" else _train)(play)
    _optimise(play, needs)
    return play


def _needed(play: Play, parameter: Parameter) -> Need:
    how = play.step.optimizer
    if how.wide_embedding and parameter is play.ends.others["embedding"]:
        how = how.model_copy(update={"bits": 32})
    return need(how, parameter)


def _load(play: Play) -> None:
    """The weights, and the largest of them once more on its way to the device."""
    ledger, outer = play.ledger, play.ends
    largest = max(
        p.bytes for p in (*outer.others.values(), *(each.weight for each in outer.linears.values()))
    )
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


def _train(play: Play) -> None:
    step = play.step
    batch = step.batch
    rows = step.sequences
    tape = tape_of(play)
    inputs = Block(play.ledger, 3 * rows * batch.length * INDEX, TEMPORARIES)
    root = Block(play.ledger, gathered(step, play.ends) // 2, TEMPORARIES)
    hidden = forward(play, tape, rows=rows, length=batch.length)
    mark = len(tape.nodes)
    around = surroundings(play, rows=rows, length=batch.length)
    hidden = norm(tape, hidden, play.ends.norms["last"], around)
    tape.rows, tape.words = rows, play.shapes.vocabulary
    tape.between = partial(_taught, play.teacher) if play.teacher is not None else None
    out = loss(tape, hidden, play.ends.linears["head"], step.loss, batch.trained)
    del hidden
    tape.cast_weights.clear()
    play.note("loss forward")
    _leave(play)
    play.ledger.restart()
    if step.objective.reference in ("model", "adapter") and not step.objective.sampled:
        longest = max(batch.length, step.objective.drift or 0)
        _unrecorded(play, rows, longest, "reference forward", adapters=False)
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


def _taught(play: Play) -> Kept:
    """The teacher's logits of the batch, and its keys and values, which come with them."""
    step, shapes = play.step, play.shapes
    tape = _reading(play)
    rows, length, width = step.batch.rows, step.batch.length, BYTES[step.autocast or step.weights]
    size = rows * length * 2 * shapes.key_values * width * shapes.layers
    noted, cache = len(play.segments), Block(play.ledger, size, TEMPORARIES)
    hidden = forward(play, tape, rows=rows, length=length)
    hidden = norm(tape, hidden, play.ends.norms["last"], surroundings(play, rows=rows, length=length))
    tape.kind = LOGITS
    logits = logits_of(tape, hidden, play.ends.linears["head"])
    logits = cast(tape, logits, FULL) if tape.autocast else logits
    play.note("teacher forward")
    play.segments[noted:] = [
        Segment("teacher forward", part.peak, part.held) for part in play.segments[noted:]
    ]
    return logits, cache


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
    if step.evaluation is None or step.evaluation.positions is not None:
        return
    _unrecorded(play, step.evaluation.rows, step.evaluation.length, "evaluation")


def _reading(play: Play, *, adapters: bool = True) -> Tape:
    """A record that keeps nothing for a backward pass."""
    tape = tape_of(play)
    tape.recording = tape.training = False
    tape.adapters = adapters
    return tape


def _unrecorded(
    play: Play, rows: int, length: int, name: str, *, adapters: bool = True, trained: int | None = None
) -> None:
    """A forward pass with its loss and without a graph."""
    tape = _reading(play, adapters=adapters)
    noted = len(play.segments)
    hidden = forward(play, tape, rows=rows, length=length)
    hidden = norm(tape, hidden, play.ends.norms["last"], surroundings(play, rows=rows, length=length))
    kept = loss(tape, hidden, play.ends.linears["head"], play.step.loss, trained)
    del kept, hidden
    play.note(name)
    play.segments[noted:] = [Segment(name, part.peak, part.held) for part in play.segments[noted:]]


def _read_first(play: Play) -> None:
    """Sampled answers read before training, by the model where it must know, and by its reference."""
    objective, batch = play.step.objective, play.step.batch
    if not objective.sampled:
        return
    play.ledger.restart()
    if objective.kind == "rloo":
        _unrecorded(play, batch.rows, batch.length, "scores", trained=batch.trained)
    if objective.reference in ("model", "adapter"):
        _unrecorded(play, batch.rows, batch.length, "scores", adapters=False, trained=batch.trained)
    for scorer in play.scorers:
        _unrecorded(scorer, scorer.step.batch.rows, batch.length, "rewards")


__all__ = ["ACTIVATIONS", "KINDS", "Segment", "simulate"]
