"""Answers that are sampled before they are trained on, in bytes: written by the model itself, then read.

After `_generate_single_turn` and `_generate_and_score_completions` of TRL's GRPO and RLOO trainers,
`generate_on_policy_outputs` of its GKD trainer, and `_sample` of transformers' generate.
"""

from __future__ import annotations

from ftc.estimate.forward import tape_of
from ftc.estimate.heldout import Draw, cached, read
from ftc.estimate.ledger import LOGITS, Block
from ftc.estimate.ops import FULL
from ftc.estimate.play import Play, Segment
from ftc.estimate.step import BYTES, Batch, Evaluation, Objective, TrainingStep
from ftc.estimate.tape import Tape

NAME = "generation"

CHANCES, NOISE = 1, 1
"""Copies that drawing makes: the tokens' chances, and random numbers of their size (`multinomial`)."""

SORTED = 5
"""Copies that finding the likeliest tokens makes: sorted scores, their places (8 bytes), chances, sums."""


def draw(how: Objective) -> Draw:
    """The copies that are made of the last position's scores while a token is drawn, and that stay."""
    changed = how.cooled + how.nucleus
    made = changed + CHANCES + NOISE
    return Draw(max(made, how.cooled + SORTED) if how.nucleus else made, 1 + changed + CHANCES)


def generate(play: Play) -> None:
    """Note the peaks of answers being written to all prompts of a generation at once."""
    step, objective = play.step, play.step.objective
    if not objective.generations:
        return
    rows, prompt = objective.generations, objective.prompt or 1
    noted, written = len(play.segments), objective.completion or 1
    play.ledger.restart()
    play.step = _generating(step, rows, prompt)
    tape = tape_of(play)
    tape.recording = tape.training = False
    if objective.cached:
        how = Evaluation(rows=rows, length=prompt, generated=written, padded=step.batch.padded)
        cached(play, how, tape, draw(objective))
    else:
        _whole(play, tape, rows, prompt + written - 1)
    play.step = step
    play.segments[noted:] = [Segment(NAME, part.peak, part.held) for part in play.segments[noted:]]


def _generating(step: TrainingStep, rows: int, length: int) -> TrainingStep:
    """The step as it generates: without checkpointing, and under adapters without autocast.

    PEFT's generate calls the model within, past what accelerate has wrapped.
    """
    batch = Batch(rows=rows, length=length, padded=step.batch.padded)
    adapted = step.tuning.adapts
    return step.model_copy(
        update={
            "batch": batch,
            "checkpointing": "none",
            "autocast": None if adapted else step.autocast,
        }
    )


def _whole(play: Play, tape: Tape, rows: int, length: int) -> None:
    """Every token by a pass over all that is before it, where checkpointing allows of no cache."""
    copies = draw(play.step.objective)
    width = BYTES[play.step.autocast or play.step.weights]
    last = rows * play.shapes.vocabulary
    held = Block(play.ledger, last * FULL * copies.held, LOGITS)
    read(play, tape, rows=rows, length=length)
    more = max(0, copies.made - copies.held + 1)
    logits = Block(play.ledger, last * (width + more * FULL), LOGITS)
    del held, logits
    play.note(NAME)
