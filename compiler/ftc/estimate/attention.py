"""Attention in bytes: the eager formula, PyTorch's kernels and flash attention, with the scratch inside them.

Scratch of kernels is in no trace; here it is from their sources: flash attention's `mha_bwd`
(softmax_d, dq_accum, dk and dv by query head), PyTorch's `_efficient_attention_backward` (delta, workspace).
"""

from __future__ import annotations

from dataclasses import dataclass

from ftc.estimate.ops import FULL, cast, copied, dropout, scaled
from ftc.estimate.tape import SAME, Tape, Tensor


@dataclass(frozen=True, slots=True)
class Heads:
    """The attention of one layer: rows of so many tokens, heads and their sizes."""

    rows: int
    length: int
    queries: int
    keys: int
    size: int
    dropout: float = 0.0
    mask: int = 0
    softcap: bool = False
    head_major: bool = False
    biased: bool = False

    @property
    def tokens(self) -> int:
        """Tokens in all rows."""
        return self.rows * self.length

    @property
    def scores(self) -> int:
        """Elements of the matrix of scores."""
        return self.rows * self.queries * self.length**2


def attend(tape: Tape, q: Tensor, k: Tensor, v: Tensor, heads: Heads, kernel: str) -> Tensor:
    """Attention's output, of q's shape, by the named kernel; autocast converts what goes into one."""
    if tape.autocast:
        q, k, v = (cast(tape, t, tape.autocast) for t in (q, k, v))
    if kernel == "eager":
        return eager(tape, q, k, v, heads)
    if kernel == "math":
        return math(tape, q, k, v, heads)
    if kernel == "efficient":
        return efficient(tape, q, k, v, heads)
    return (flash_cpu if tape.cpu else flash)(tape, q, k, v, heads)


def _rounded(value: int, to: int) -> int:
    return -(-value // to) * to


def flash(tape: Tape, q: Tensor, k: Tensor, v: Tensor, heads: Heads) -> Tensor:
    """FlashAttention-2: q, k, v, the output and a float32 a row and head are kept.

    The output is laid out as q is, so where tokens of a head lie together it is copied for what follows.
    """
    q, k, v = (cast(tape, t, tape.half) for t in (q, k, v))
    long = _rounded(heads.length, 128)
    size = _rounded(heads.size, 32 if heads.size <= 128 else 64)
    statistics = tape.op(heads.rows * heads.queries * heads.length, FULL)
    scratch = heads.rows * heads.queries * long * (size + 1) * FULL
    if heads.keys < heads.queries:
        scratch += 2 * q.bytes
    inputs = [(t, t.bytes) for t in (q, k, v)]
    saved = (q.block, k.block, v.block, statistics.block)
    out = tape.op(q.numel, q.width, inputs, saved, temporary=scratch, keeps_result=True)
    return copied(tape, out) if heads.head_major else out


def flash_cpu(tape: Tape, q: Tensor, k: Tensor, v: Tensor, heads: Heads) -> Tensor:
    """PyTorch's kernel for the CPU: in the dtype of its inputs, and given a mask as `efficient` is."""
    if heads.biased:
        k, v = repeated(tape, k, heads), repeated(tape, v, heads)
    bias = tape.op(heads.rows * heads.length**2, q.width) if heads.biased else None
    statistics = tape.op(heads.rows * heads.queries * heads.length, FULL)
    inputs = [(t, t.bytes) for t in (q, k, v)]
    saved = (q.block, k.block, v.block, statistics.block, bias.block if bias else None)
    return tape.op(q.numel, q.width, inputs, saved, keeps_result=True)


def efficient(tape: Tape, q: Tensor, k: Tensor, v: Tensor, heads: Heads) -> Tensor:
    """PyTorch's memory-efficient kernel: as flash, over keys and values repeated for each query head.

    A boolean mask, of padding or of packed rows, becomes an additive one in every layer, which is kept.
    """
    k, v = repeated(tape, k, heads), repeated(tape, v, heads)
    bias = tape.op(heads.rows * heads.length**2, q.width) if heads.biased else None
    statistics = tape.op(heads.rows * heads.queries * _rounded(heads.length, 32), FULL)
    delta = heads.rows * heads.queries * heads.length * FULL
    workspace = q.numel * FULL if q.width < FULL else 0
    inputs = [(t, t.bytes) for t in (q, k, v)]
    saved = (q.block, k.block, v.block, statistics.block, bias.block if bias else None)
    return tape.op(q.numel, q.width, inputs, saved, temporary=delta + workspace, keeps_result=True)


def repeated(tape: Tape, x: Tensor, heads: Heads) -> Tensor:
    """Keys or values once for each query head: a copy, whose gradient is summed over the group."""
    if heads.keys == heads.queries or x.numel == heads.tokens * heads.queries * heads.size:
        return x
    return tape.op(x.numel * heads.queries // heads.keys, x.width, ((x, x.bytes),))


def eager(tape: Tape, q: Tensor, k: Tensor, v: Tensor, heads: Heads) -> Tensor:
    """Transformers' eager_attention_forward: scores in the compute dtype, softmax in float32."""
    k, v = repeated(tape, k, heads), repeated(tape, v, heads)
    scores = scaled(tape, _batched(tape, q, k, heads.scores, copies=heads.rows > 1))
    if heads.softcap:
        scores = _capped(tape, scores)
    if heads.mask:
        scores = tape.op(scores.numel, scores.width, ((scores, SAME),))
    weights = _softmax(tape, scores, FULL)
    del scores
    weights = cast(tape, weights, q.width)
    weights = dropout(tape, weights, heads.dropout)
    out = _batched(tape, weights, v, q.numel, copies=False)
    del weights
    return copied(tape, out)


def math(tape: Tape, q: Tensor, k: Tensor, v: Tensor, heads: Heads) -> Tensor:
    """PyTorch's math kernel: all in float32 (since 2.5), query and key scaled, weights also returned."""
    width = q.width
    q, k, v = (cast(tape, t, FULL) for t in (q, k, v))
    q = scaled(tape, q)
    k, v = scaled(tape, repeated(tape, k, heads)), repeated(tape, v, heads)
    scores = _batched(tape, q, k, heads.scores, copies=heads.rows > 1)
    del q, k
    if heads.mask:
        scores = tape.op(scores.numel, FULL, ((scores, SAME),))
    weights = dropout(tape, _softmax(tape, scores, FULL), heads.dropout)
    del scores
    returned = cast(tape, weights.detached(), width)
    out = _batched(tape, weights, v, heads.tokens * heads.queries * heads.size, copies=False)
    del weights, v, returned
    return copied(tape, cast(tape, out, width))


def _capped(tape: Tape, scores: Tensor) -> Tensor:
    divided = scaled(tape, scores)
    return scaled(tape, tape.op(scores.numel, scores.width, ((divided, scores.bytes),), keeps_result=True))


def _softmax(tape: Tape, scores: Tensor, width: int) -> Tensor:
    """Softmax, whose backward makes grad * output in the output's dtype first (softmax_backward_cuda_out).

    Its kernel widens float16 itself; bfloat16 is copied to float32 before (SoftMax.cpp).
    """
    if width > scores.width and not tape.float16:
        scores = cast(tape, scores, width)
    whole = scores.numel * width
    return tape.op(scores.numel, width, ((scores, scores.bytes),), temporary=whole, keeps_result=True)


def _batched(tape: Tape, a: Tensor, b: Tensor, numel: int, *, copies: bool) -> Tensor:
    """A batched matrix product; operands whose heads cannot be merged into the batch in place are copied."""
    if copies:
        a = copied(tape, a)
    saved = (b.block if a.node else None, a.block if b.node else None)
    return tape.op(numel, a.width, ((a, a.bytes), (b, b.bytes)), saved)
