"""The runtime's evaluation in bytes: losses of held-out rows, greedy answers, labels tried behind prompts.

After `runtime/score.py`: logits are made of the positions that carry loss, cast to float32, transposed (which
the softmax makes contiguous by a copy) and normalised; all four are there at once. It runs before training,
on the base alone, and after it, when gradients and the optimizer's states are gone. Losses that are watched
are evaluated between two steps as well, when the states are there.
"""

from __future__ import annotations

from ftc.estimate.forward import forward, surroundings, tape_of
from ftc.estimate.layer import norm
from ftc.estimate.ledger import ACTIVATIONS, ADAPTERS, LOGITS, Block
from ftc.estimate.loss import logits_of
from ftc.estimate.ops import FULL, cast
from ftc.estimate.play import Play, Segment
from ftc.estimate.step import BYTES, Batch, Evaluation, TrainingStep
from ftc.estimate.tape import Tape

NAME = "evaluation"


def evaluate(play: Play, how: Evaluation) -> None:
    """Note the peaks of the evaluations before training and after it, as segments of one name."""
    for trained in (False, True):
        _note(play, how, trained=trained)


def watch(play: Play, how: Evaluation) -> None:
    """Note the peak of the losses evaluated between two steps, with all that is held there."""
    if how.watched and how.positions:
        _note(play, how.model_copy(update={"generated": None, "labels": None}), trained=True)


def _note(play: Play, how: Evaluation, *, trained: bool) -> None:
    """One of the two: adapters and autocast are there once the trainer has been."""
    ledger, step = play.ledger, play.step
    adapters = 0 if trained else ledger.held[ADAPTERS]
    ledger.hold(-adapters, ADAPTERS)
    ledger.restart()
    noted = len(play.segments)
    play.step = _evaluated(step, how, trained=trained)
    if how.positions:
        _losses(play, how, _unrecorded(play, adapters=trained))
    if how.generated or how.labels:
        _cached(play, how, _unrecorded(play, adapters=trained))
    play.step = step
    ledger.hold(adapters, ADAPTERS)
    play.segments[noted:] = [Segment(NAME, part.peak, part.held) for part in play.segments[noted:]]


def _evaluated(step: TrainingStep, how: Evaluation, *, trained: bool) -> TrainingStep:
    """The step with the evaluation's batch and kernel in place of the training's."""
    batch = Batch(rows=how.rows, length=how.length, padded=how.padded)
    changes = {"batch": batch, "attention": how.attention or step.attention, "checkpointing": "none"}
    return step.model_copy(update=changes if trained else {**changes, "autocast": None})


def _unrecorded(play: Play, *, adapters: bool) -> Tape:
    """A record that keeps nothing for a backward pass."""
    tape = tape_of(play)
    tape.recording = tape.training = False
    tape.adapters = adapters
    return tape


def _losses(play: Play, how: Evaluation, tape: Tape) -> None:
    hidden = forward(play, tape, rows=how.rows, length=how.length)
    hidden = norm(tape, hidden, play.ends.norms["last"], surroundings(play, rows=how.rows, length=how.length))
    tape.kind = LOGITS
    features = play.shapes.hidden
    chosen = tape.op(how.rows * (how.positions or 0) * features, hidden.width)
    logits = logits_of(tape, chosen, play.ends.linears["head"])
    del hidden, chosen
    if tape.autocast:
        logits = cast(tape, logits, FULL)
    wide = cast(tape, logits, FULL)
    copies = [tape.op(wide.numel, FULL) for _ in ("contiguous", "normalised")]
    del copies
    play.note(NAME)


def _cached(play: Play, how: Evaluation, tape: Tape) -> None:
    """Prompts read into a cache of keys and values, from which answers and labels go on.

    The cache grows by concatenation, one layer's anew beside the old. Labels go on from a copy, repeated for
    each of them.
    """
    shapes, step = play.shapes, play.step
    width = BYTES[step.autocast or step.weights]
    token = 2 * shapes.key_values * width
    held = how.rows * how.length * token * shapes.layers
    cache = Block(play.ledger, held, ACTIVATIONS)
    hidden = forward(play, tape, rows=how.rows, length=how.length)
    del hidden
    play.note(NAME)
    if how.generated:
        longer = how.rows * (how.length + how.generated) * token
        grown = Block(play.ledger, longer * (shapes.layers + 1) - held, ACTIVATIONS)
        logits = Block(play.ledger, how.rows * shapes.vocabulary * (width + 2 * FULL), LOGITS)
        del grown, logits
        play.note(NAME)
    if how.labels:
        tries = how.rows * how.labels
        copies = Block(
            play.ledger, tries * (how.length + how.label) * token * (shapes.layers + 1), ACTIVATIONS
        )
        logits = Block(play.ledger, tries * how.label * shapes.vocabulary * (width + 2 * FULL), LOGITS)
        del copies, logits
        play.note(NAME)
    del cache
