"""The head and the loss in bytes: logits whole or in pieces, upcast, aligned by a copy, fused."""

from __future__ import annotations

from ftc.estimate.ledger import LOGITS, Block
from ftc.estimate.linear import Linear, linear
from ftc.estimate.ops import FULL, cast, scaled
from ftc.estimate.step import Loss
from ftc.estimate.tape import Tape, Tensor

TRL_TOKENS = 4096
TRL_WORDS = 32768
"""Rows and columns of a tile of logits in TRL's fused head (trl/kernels/chunked_logprob.py)."""

TORCH_FORWARD, TORCH_BACKWARD, TORCH_CAPPED = 13, 29, 4
"""Bytes an element of a tile that the head's formulas take for themselves where there is no Triton.

Forward: the logits, whether a word comes before the target, and the logits less the maximum with their
exponentials. Backward: the logits twice, their logarithms and probabilities, the gradient, whether a word is
the target, and two terms, and the tangent where logits are capped (`_forward_tile`, `_backward_tile`).
"""


def scalar(tape: Tape, x: Tensor, size: int, *, temporary: int = 0) -> Tensor:
    """One number of many, whose gradient has so many bytes."""
    return tape.op(1, FULL, ((x, size),), temporary=temporary)


def cross_entropy(tape: Tape, logits: Tensor) -> Tensor:
    """`F.cross_entropy`: the log-softmax is kept; backward makes its gradient, then that of the logits."""
    if tape.autocast:
        logits = cast(tape, logits, FULL)
    chances = tape.op(logits.numel, logits.width, ((logits, logits.bytes),), keeps_result=True)
    return scalar(tape, chances, chances.bytes)


def logits_of(tape: Tape, hidden: Tensor, head: Linear) -> Tensor:
    """The head's output, bounded by tanh where the model does so, and scaled."""
    out = linear(tape, hidden, head)
    if not tape.softcap:
        return out
    out = scaled(tape, out)
    out = tape.op(out.numel, out.width, ((out, out.bytes),), keeps_result=True)
    return scaled(tape, out)


def _aligned(tape: Tape, hidden: Tensor, head: Linear, how: Loss) -> tuple[Tensor, Tensor]:
    """The logits as the model returns them, and as the loss wants them: upcast, and sliced by a copy."""
    raw = logits_of(tape, hidden, head)
    logits = cast(tape, raw, FULL) if how.upcast else raw
    if how.early:
        raw = logits
    if how.keep_logits:
        tape.outputs = [raw.block]
    if how.shift == "slice":
        logits = tape.op(logits.numel, logits.width, ((logits, logits.bytes),))
    return raw, logits


def from_logits(tape: Tape, hidden: Tensor, head: Linear, how: Loss, _: int | None) -> Tensor:
    """Transformers' ForCausalLMLoss, and how earlier releases aligned and upcast."""
    raw, logits = _aligned(tape, hidden, head, how)
    out = cross_entropy(tape, logits)
    del logits
    _returned(tape, raw)
    return out


def triton(tape: Tape, hidden: Tensor, head: Linear, how: Loss, _: int | None) -> Tensor:
    """A fused cross entropy over materialised logits, which writes the gradient over them."""
    raw, logits = _aligned(tape, hidden, head, how)
    out = tape.overwritten(logits)
    del logits
    _returned(tape, raw)
    return out


def _returned(tape: Tape, raw: Tensor) -> None:
    """The logits as the model's output: what starts autocast converts them to float32."""
    if tape.autocast:
        raw = cast(tape, raw.detached(), FULL)
    del raw


def fused(tape: Tape, hidden: Tensor, head: Linear, how: Loss, _: int | None) -> Tensor:
    """Liger's fused linear cross entropy: logits and gradients in chunks, all in the forward pass."""
    rows = hidden.numel // head.inputs
    ratio = -(-head.outputs // head.inputs)
    size = how.chunk_tokens or 1 << (-(-rows // ratio) - 1).bit_length()
    parents = [(hidden, 0), (tape.leaf(head.weight), 0)]
    gradient = tape.op(hidden.numel, hidden.width) if hidden.node else None
    weight = tape.op(head.weight.numel, head.weight.width) if head.weight.trains else None
    piece = tape.op(min(size, rows) * head.outputs, hidden.width)
    wide = tape.op(piece.numel, FULL)
    del piece, wide
    saved = [t.block for t in (gradient, weight) if t]
    return tape.op(1, FULL, parents, saved)


def chunked(tape: Tape, hidden: Tensor, head: Linear, how: Loss, _: int | None) -> Tensor:
    """Logits in pieces, all made first and kept, then the loss of each (LitGPT, torchtune).

    They are upcast as they are made, where early, or each for its loss.
    """
    rows = hidden.numel // head.inputs
    count = how.chunks or -(-rows // (how.chunk_tokens or rows))
    sizes = [rows // count + (index < rows % count) for index in range(count)]
    node = tape.through((hidden, hidden.bytes), joint=True)
    logits = []
    for size in sizes:
        piece = linear(tape, Tensor(hidden.block, size * head.inputs, hidden.width, node), head)
        logits.append(cast(tape, piece, FULL) if how.upcast and how.early else piece)
        del piece
    if how.keep_logits:
        tape.outputs = [piece.block for piece in logits]
    losses = [cross_entropy(tape, cast(tape, piece, FULL) if how.upcast else piece) for piece in logits]
    return tape.op(1, FULL, [(each, each.bytes) for each in losses])


def trl(tape: Tape, hidden: Tensor, head: Linear, _: Loss, trained: int | None) -> Tensor:
    """TRL's fused head: logits in tiles, made again in backward, and gradients in float32.

    Without Triton it takes every position, and PyTorch's operations on a tile take blocks of their own.
    """
    rows = hidden.numel // head.inputs
    count = min(trained or rows, rows)
    sliced = Tensor(hidden.block, hidden.numel, hidden.width, tape.through((hidden, hidden.bytes)))
    index = tape.op(2 * count, 8)
    chosen = tape.op(count * head.inputs, hidden.width, ((sliced, sliced.bytes),), (index.block,))
    width = tape.autocast or hidden.width
    tile = min(count, TRL_TOKENS) * TRL_WORDS * width
    if head.weight.width != width:
        tile += min(TRL_WORDS, head.outputs) * head.inputs * width
    shape = min(count, TRL_TOKENS) * min(TRL_WORDS, head.outputs) if tape.cpu else 0
    buffer = Block(tape.ledger, tile, LOGITS)
    working = Block(tape.ledger, shape * TORCH_FORWARD, LOGITS)
    del working
    weight = tape.leaf(head.weight)
    wide = [t.numel * FULL for t in (chosen, weight) if t.node and t.width < FULL]
    inputs = ((chosen, chosen.bytes), (weight, weight.bytes))
    backward = tile + sum(wide) + shape * (TORCH_BACKWARD + TORCH_CAPPED * tape.softcap)
    out = tape.op(8 * count, FULL, inputs, (chosen.block,), temporary=backward)
    del buffer
    return out


def scored(tape: Tape, hidden: Tensor, head: Linear, _how: Loss, _: int | None) -> Tensor:
    """A head of few scores at every position, of which the loss reads one a row."""
    scores = linear(tape, hidden, head)
    return scalar(tape, scores, scores.bytes)
