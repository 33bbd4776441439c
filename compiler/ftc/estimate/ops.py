"""Elementwise operations, norms and activations in bytes, forward and back, as CUDA's kernels have them."""

from __future__ import annotations

from collections.abc import Callable

from ftc.estimate.tape import SAME, Parameter, Tape, Tensor

FULL = 4
"""Bytes of a float32."""


def cast(tape: Tape, x: Tensor, width: int) -> Tensor:
    """`x.to(dtype)`: the tensor itself where the dtype is the same."""
    return x if x.width == width else tape.op(x.numel, width, ((x, x.bytes),))


def copied(tape: Tape, x: Tensor) -> Tensor:
    """A copy with the same elements, such as `clone` and `contiguous` of a transposed tensor make."""
    return tape.op(x.numel, x.width, ((x, SAME),))


def scaled(tape: Tape, x: Tensor) -> Tensor:
    """A tensor times a number."""
    return tape.op(x.numel, x.width, ((x, x.bytes),))


def added(tape: Tape, a: Tensor, b: Tensor) -> Tensor:
    """`a + b` of equal shapes; the wider dtype wins."""
    width = max(a.width, b.width)
    inputs = [(t, SAME if t.width == width else t.bytes) for t in (a, b)]
    return tape.op(a.numel, width, inputs)


def times(tape: Tape, a: Tensor, b: Tensor) -> Tensor:
    """`a * b` with `b` broadcast where it is smaller; each side is kept for the other's gradient."""
    width = max(a.width, b.width)
    whole = a.numel * width
    temporary = 0
    if b.node is not None and (b.numel < a.numel or b.width < width):
        temporary += whole
    if a.node is not None and a.width < width:
        temporary += whole
    saved = (b.block if a.node else None, a.block if b.node else None)
    return tape.op(a.numel, width, ((a, a.bytes), (b, b.bytes)), saved, temporary=temporary)


def dropout(tape: Tape, x: Tensor, probability: float) -> Tensor:
    """Dropout in training: the mask is kept, by CUDA's kernel in bytes, else in the input's dtype."""
    if not probability or not tape.training:
        return x
    if not (tape.recording and x.node):
        return tape.op(x.numel, x.width)
    mask = tape.op(x.numel, x.width if tape.cpu else 1)
    return tape.op(x.numel, x.width, ((x, x.bytes),), (mask.block,))


def rms_norm(tape: Tape, x: Tensor, weight: Parameter) -> Tensor:
    """The RMSNorm of transformers' Llama: in float32, then cast, then times the weight."""
    rows = x.numel // weight.numel
    wide = cast(tape, x, FULL)
    scale = _mean_square(tape, wide, rows)
    wide = times(tape, wide, scale)
    del scale
    narrow = cast(tape, wide, x.width)
    del wide
    return times(tape, narrow, tape.leaf(weight))


def rms_norm_wide(tape: Tape, x: Tensor, weight: Parameter) -> Tensor:
    """The RMSNorm of transformers' OLMo 2: times the weight in float32, then cast."""
    wide = cast(tape, x, FULL)
    wide = times(tape, wide, _mean_square(tape, wide, x.numel // weight.numel))
    return cast(tape, times(tape, wide, tape.leaf(weight)), x.width)


def _mean_square(tape: Tape, wide: Tensor, rows: int) -> Tensor:
    """Rsqrt of the mean of squares of each row, with the backward of pow(2).mean(-1)."""
    size = wide.bytes
    squares = tape.op(wide.numel, FULL, ((wide, size),), (wide.block,), temporary=2 * size)
    mean = tape.op(rows, FULL, ((squares, size),))
    del squares
    return tape.op(rows, FULL, ((mean, mean.bytes),), keeps_result=True)


def rms_norm_plus_one(tape: Tape, x: Tensor, weight: Parameter) -> Tensor:
    """The RMSNorm of transformers' Gemma: times (1 + weight) in float32, then cast."""
    rows = x.numel // weight.numel
    wide = cast(tape, x, FULL)
    scale = _mean_square(tape, wide, rows)
    normed = times(tape, wide, scale)
    del scale, wide
    factor = cast(tape, tape.leaf(weight), FULL)
    factor = tape.op(weight.numel, FULL, ((factor, SAME),))
    normed = times(tape, normed, factor)
    return cast(tape, normed, x.width)


def fused_norm(tape: Tape, x: Tensor, weight: Parameter, bias: Parameter | None = None) -> Tensor:
    """A norm in one kernel, such as `F.layer_norm`: its input and two statistics a row are kept."""
    rows = x.numel // weight.numel
    if tape.autocast and bias is not None:
        x = cast(tape, x, FULL)
    statistics = tape.op(2 * rows, FULL)
    parents = [(x, x.bytes), (tape.leaf(weight), weight.bytes)]
    if bias is not None:
        parents.append((tape.leaf(bias), bias.bytes))
    return tape.op(x.numel, x.width, parents, (x.block, statistics.block))


def activation(tape: Tape, x: Tensor, name: str) -> Tensor:
    """The activation function called `name` in a model's config."""
    return _COMPOSED.get(name, _one_kernel)(tape, x)


def _one_kernel(tape: Tape, x: Tensor) -> Tensor:
    return tape.op(x.numel, x.width, ((x, x.bytes),), (x.block,))


def _relu(tape: Tape, x: Tensor) -> Tensor:
    return tape.op(x.numel, x.width, ((x, x.bytes),), keeps_result=True)


def _new_gelu(tape: Tape, x: Tensor) -> Tensor:
    """0.5 * x * (1 + tanh(√(2/π) * (x + 0.044715 * x³))), each operation a kernel."""
    half = scaled(tape, x)
    cube = tape.op(x.numel, x.width, ((x, x.bytes),), (x.block,), temporary=2 * x.bytes)
    inner = scaled(tape, cube)
    del cube
    inner = added(tape, x, inner)
    inner = scaled(tape, inner)
    inner = tape.op(x.numel, x.width, ((inner, x.bytes),), keeps_result=True)
    inner = tape.op(x.numel, x.width, ((inner, SAME),))
    return times(tape, half, inner)


_COMPOSED: dict[str, Callable[[Tape, Tensor], Tensor]] = {
    "gelu_new": _new_gelu,
    "gelu_fast": _new_gelu,
    "relu": _relu,
}
