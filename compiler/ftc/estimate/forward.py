"""The forward pass in bytes: embedding and decoder layers, and the mask where a kernel is given one."""

from __future__ import annotations

from functools import partial

from ftc.estimate import layer, litgpt
from ftc.estimate.architecture import Architecture
from ftc.estimate.attention import Heads
from ftc.estimate.layer import Surroundings
from ftc.estimate.ledger import ACTIVATIONS, TEMPORARIES, Block
from ftc.estimate.ops import FULL, dropout, scaled
from ftc.estimate.play import Group, Play
from ftc.estimate.sharding import gathered
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


def tape_of(play: Play) -> Tape:
    """A new record of operations, with the step's autocast and the model's particulars."""
    step = play.step
    autocast = BYTES[step.autocast] if step.autocast else 0
    tape = Tape(play.ledger, autocast=autocast)
    tape.softcap = play.shapes.family.softcap
    tape.cpu = step.backend == "cpu"
    tape.float16 = (step.autocast or step.weights) == "float16"
    return tape


def forward(play: Play, tape: Tape, *, rows: int, length: int) -> Tensor:
    """The decoder's last hidden states, before the last norm."""
    step = play.step
    around = {slides: surroundings(play, rows=rows, length=length, slides=slides) for slides in (False, True)}
    x = _embedded(play, tape, rows * length)
    embedded = None if tape.recording else x.block  # a variable of the model's forward
    widths = [
        x.width if step.attention == "eager" else around[group.slides].heads.biased for group in play.groups
    ]
    each = dict(zip((group.slides for group in play.groups), widths, strict=True))
    mask = Block(play.ledger, rows * length**2 * sum(each.values()), TEMPORARIES)
    if tape.recording:
        play.mask = mask
    reentrant = step.checkpointing == "reentrant"
    for group in play.groups:
        before = play.ledger.held.copy()
        if tape.recording:
            group.mark = len(tape.nodes)
        part = partial(_run_layer, tape, group.stack, around[group.slides])
        gather = Block(play.ledger, gathered(step, group.stack), TEMPORARIES)
        if step.checkpointing != "none" and tape.recording:
            x = tape.checkpoint(part, x, reentrant=reentrant, trains=bool(group.stack.trained))
        else:
            x = part(x)
        del gather
        _pass_on(tape, group)
        change = play.change_since(before)
        play.note("forward", play.repeat(_kept(change), group.count - 1))
    del embedded
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


def _kept(change: list[int]) -> list[int]:
    """What a layer keeps of its change: the residual stream that replaced the former one is no addition."""
    return [value if kind != TEMPORARIES else 0 for kind, value in enumerate(change)]


def _run_layer(tape: Tape, stack: Stack, around: Surroundings, x: Tensor) -> Tensor:
    return LAYERS[around.library](tape, x, stack, around)


def surroundings(play: Play, *, rows: int, length: int, slides: bool = False) -> Surroundings:
    """What the layers share, in a batch of `rows` of `length` tokens; `slides` those that look at a window.

    Where that is narrower than the rows there is a mask, which flash attention does not take.
    """
    step, shapes = play.step, play.shapes
    windowed = slides and length >= shapes.window and step.attention in ("efficient", "math", "flash")
    kernel = (
        "efficient" if windowed and step.attention == "flash" and step.backend == "cuda" else step.attention
    )
    heads = Heads(
        rows,
        length,
        shapes.heads,
        shapes.keys,
        shapes.head,
        shapes.attention_dropout,
        mask=step.attention in ("eager", "math"),
        softcap=shapes.family.softcap,
        biased=_masked(step) or windowed,
        head_major=shapes.head_major and step.code.release("torch") >= FLASH_2,
    )
    width = FULL if step.code.library != "transformers" else _stream(play)
    positions = Tensor(None, length * shapes.rotary, width)
    fused = frozenset(step.code.fused)
    return Surroundings(
        shapes,
        heads,
        kernel,
        fused,
        positions,
        keeps_cache=step.code.keeps_cache,
        library=step.code.library,
    )


def _masked(step: TrainingStep) -> bool:
    """Whether a boolean mask of every pair of tokens reaches PyTorch's attention."""
    heeds = step.attention in ("efficient", "math") or (step.attention == "flash" and step.backend == "cpu")
    return heeds and (step.batch.padded or bool(step.batch.packed))


def _stream(play: Play) -> int:
    """Bytes of an element of the residual stream."""
    return play.ends.others["embedding"].width


def _embedded(play: Play, tape: Tape, tokens: int) -> Tensor:
    shapes, step = play.shapes, play.step
    table = play.ends.others["embedding"]
    scratch = embedding_scratch(tokens, shapes)
    x = tape.op(tokens * shapes.hidden, table.width, ((tape.leaf(table), table.bytes),), temporary=scratch)
    if step.tuning.adapts and step.checkpointing != "none" and tape.recording and x.node is None:
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
