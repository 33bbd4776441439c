"""The runtime's evaluation in bytes: losses of held-out rows, greedy answers, labels tried behind prompts.

After `runtime/score.py`: logits are made of the positions that carry loss, in pieces, cast to float32,
transposed (which the softmax makes contiguous by a copy) and normalised; the last three are there at once.
It runs before training, on the base alone, and after it, when gradients and the optimizer's states are gone.
Losses that are watched are evaluated between two steps as well, when the states are there.
"""

from __future__ import annotations

from dataclasses import dataclass

from ftc.estimate import encoder
from ftc.estimate.forward import forward, surroundings, tape_of
from ftc.estimate.layer import norm
from ftc.estimate.ledger import ACTIVATIONS, ADAPTERS, LOGITS, TEMPORARIES, Block
from ftc.estimate.loss import logits_of
from ftc.estimate.ops import FULL, cast
from ftc.estimate.play import Play, Segment
from ftc.estimate.step import BYTES, Batch, Evaluation, TrainingStep
from ftc.estimate.tape import Tape

NAME = "evaluation"

PIECE = 2**24
"""Numbers in the logits that are there at once, unless those of one position are more (`score.PIECE`)."""


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
    if step.objective.kind == "embedding":
        encoder.read(play, NAME)
    elif how.positions:
        _losses(play, how, _unrecorded(play, adapters=trained))
    if how.generated or how.labels:
        cached(play, how, _unrecorded(play, adapters=trained))
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
    shapes = play.shapes
    if play.step.objective.scores:
        scores = cast(tape, logits_of(tape, hidden, play.ends.linears["head"]), FULL)
        del scores
        play.note(NAME)
        return
    at_once = min(how.positions or 1, max(1, PIECE // (how.rows * shapes.vocabulary)))
    chosen = tape.op(how.rows * at_once * shapes.hidden, hidden.width)
    logits = logits_of(tape, chosen, play.ends.linears["head"])
    del chosen
    logits = cast(tape, logits, FULL)
    copies = [tape.op(logits.numel, FULL) for _ in ("contiguous", "normalised")]
    del copies
    play.note(NAME)


@dataclass(frozen=True, slots=True)
class Draw:
    """Float32 copies of the last logits: made while a token is chosen, and held until the next one is.

    The likeliest token is chosen of one; see `sampled` for those that are drawn.
    """

    made: int = 0
    held: int = 1


GREEDY = Draw()


def cached(play: Play, how: Evaluation, tape: Tape, draw: Draw = GREEDY) -> None:
    """Prompts read into a cache of keys and values, from which answers and labels go on.

    Logits of the last position are kept in float32. Labels go on from a copy of the cache, repeated for each
    of them.
    """
    shapes, width = play.shapes, BYTES[play.step.autocast or play.step.weights]
    prompt, ledger = how.prompt or how.length, play.ledger
    cache = Block(ledger, how.rows * prompt * 2 * shapes.key_values * width * shapes.layers, ACTIVATIONS)
    read(play, tape, rows=how.rows, length=prompt)
    last = how.rows * shapes.vocabulary
    copies = (2 + draw.made) * FULL
    logits = Block(ledger, last * (copies + (width if width < FULL else 0)), LOGITS)
    del logits
    play.note(NAME)
    if how.labels:
        first = Block(ledger, last * (FULL + width), LOGITS)
        tries = how.rows * how.labels
        _goes_on(play, tape, tries, before=prompt, tokens=how.label)
        del first
    del cache
    if how.generated and how.generated > 1:
        chosen = Block(ledger, last * FULL * draw.held, LOGITS)
        _goes_on(play, tape, how.rows, before=prompt + how.generated - 2, tokens=1, drawn=draw)
        del chosen


def read(play: Play, tape: Tape, *, rows: int, length: int) -> None:
    """A forward pass whose rows have positions of their own, so that each has its own angles."""
    shapes = play.shapes
    angles = 2 * rows * length * shapes.rotary if shapes.family.rope else 0
    turned = Block(play.ledger, angles * play.ends.others["embedding"].width, TEMPORARIES)
    hidden = forward(play, tape, rows=rows, length=length)
    del hidden, turned


def _goes_on(play: Play, tape: Tape, rows: int, *, before: int, tokens: int, drawn: Draw = GREEDY) -> None:
    """Some tokens more behind a cache, which grows by concatenation: first the keys of a layer, then values.

    Where attention is given a mask it has keys and values repeated for each query head, unless one token is
    asked for; eager attention has them always.
    """
    shapes, step = play.shapes, play.step
    width = BYTES[step.autocast or step.weights]
    length = before + tokens
    layer = rows * length * shapes.key_values * width
    grown = Block(play.ledger, 2 * layer * shapes.layers, ACTIVATIONS)
    masked = step.batch.padded or tokens > 1
    single = tokens == 1 and masked and step.attention != "eager"
    alone = step.attention == "flash" and not masked
    repeats = shapes.keys < shapes.heads and not (single or alone)
    repeated = 2 * rows * length * shapes.queries * width if repeats else 0
    masks = rows * tokens * length * (1 + width) if masked else 0
    stream = rows * tokens * (2 * shapes.hidden + 2 * shapes.queries) * width
    beside = Block(play.ledger, max(layer, repeated) + masks + stream, TEMPORARIES)
    del beside
    read(play, tape, rows=rows, length=tokens)
    logits = rows * tokens * shapes.vocabulary
    copies = 2 * FULL if width == FULL or tokens > 1 else FULL
    copies += max(0, drawn.made - drawn.held + 1) * FULL
    made = Block(play.ledger, logits * (copies + (width if width < FULL else 0)), LOGITS)
    del made, grown
    play.note(NAME)
