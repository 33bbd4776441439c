"""One decoder layer in bytes, as transformers' modelling code runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ftc.estimate.architecture import Architecture, Experts
from ftc.estimate.attention import Heads, attend, repeated
from ftc.estimate.ledger import ACTIVATIONS
from ftc.estimate.linear import linear, product
from ftc.estimate.ops import (
    FULL,
    activation,
    added,
    cast,
    dropout,
    fused_norm,
    rms_norm,
    rms_norm_plus_one,
    rms_norm_wide,
    scaled,
    times,
)
from ftc.estimate.tape import SAME, Tape, Tensor
from ftc.estimate.weights import Norm, Stack


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all layers share: shapes, the attention's kernel, and which operations are fused kernels.

    With `keeps_cache` each layer's keys and values outlive it, and the fused projection they are views of.
    """

    shapes: Architecture
    heads: Heads
    kernel: str
    fused: frozenset[str] = frozenset()
    positions: Tensor = field(default_factory=lambda: Tensor(None, 0, 0))
    keeps_cache: bool = False
    library: str = "transformers"


RMS_NORMS = {"rms": rms_norm, "rms_wide": rms_norm_wide, "rms_plus_one": rms_norm_plus_one}


def norm(tape: Tape, x: Tensor, weights: Norm, around: Surroundings) -> Tensor:
    """The model's norm over the last axis of `x`."""
    kind = around.shapes.family.norm
    if kind == "layer" or "rmsnorm" in around.fused:
        return fused_norm(tape, x, weights.weight, weights.bias)
    return RMS_NORMS[kind](tape, x, weights.weight)


def decoder_layer(tape: Tape, x: Tensor, stack: Stack, around: Surroundings) -> Tensor:
    """The layer's output; the residual stream goes in and comes out."""
    if around.shapes.family.parallel:
        return _parallel(tape, x, stack, around)
    x = _residual(tape, x, stack, around, "attention", _attention)
    return _residual(tape, x, stack, around, "mlp", _feed_forward)


Part = Callable[[Tape, Tensor, Stack, Surroundings], Tensor]


def _residual(tape: Tape, x: Tensor, stack: Stack, around: Surroundings, name: str, part: Part) -> Tensor:
    family = around.shapes.family
    before = "input" if name == "attention" else "mlp"
    inner = norm(tape, x, stack.norms[before], around) if family.pre_norm else x
    inner = part(tape, inner, stack, around)
    inner = dropout(tape, inner, around.shapes.dropout)
    if family.post_norm:
        inner = norm(tape, inner, stack.norms[f"after_{name}"], around)
    if family.scaled_residual:
        inner = scaled(tape, inner)
    return added(tape, x, inner)


def _parallel(tape: Tape, x: Tensor, stack: Stack, around: Surroundings) -> Tensor:
    inner = norm(tape, x, stack.norms["input"], around)
    attended = dropout(tape, _attention(tape, inner, stack, around), around.shapes.dropout)
    if "mlp" in stack.norms:
        inner = norm(tape, x, stack.norms["mlp"], around)
    inner = dropout(tape, _feed_forward(tape, inner, stack, around), around.shapes.dropout)
    inner = added(tape, attended, inner)
    del attended
    return added(tape, inner, x)


def _attention(tape: Tape, x: Tensor, stack: Stack, around: Surroundings) -> Tensor:
    shapes = around.shapes
    q, k, v = _queries_keys_values(tape, x, stack, around)
    if "q" in stack.norms:
        q = norm(tape, q, stack.norms["q"], around)
        k = norm(tape, k, stack.norms["k"], around)
    if shapes.family.rope:
        q, k = (_rotate(tape, t, around) for t in (q, k))
    if around.library == "torchtune":
        k, v = repeated(tape, k, around.heads), repeated(tape, v, around.heads)
    out = attend(tape, q, k, v, around.heads, around.kernel)
    del q, k, v
    return linear(tape, out, stack.linears["o"])


def _queries_keys_values(
    tape: Tape, x: Tensor, stack: Stack, around: Surroundings
) -> tuple[Tensor, Tensor, Tensor]:
    shapes, linears = around.shapes, stack.linears
    if "qkv" not in linears:
        q, k, v = (linear(tape, x, linears[role]) for role in "qkv")
        return q, k, v
    fused = linear(tape, x, linears["qkv"])
    if around.keeps_cache and tape.training and fused.block:
        fused.block.become(ACTIVATIONS)
        tape.cached.append(fused.block)
    sizes = (shapes.queries, shapes.key_values, shapes.key_values)
    q, k, v = split(tape, fused, sizes)
    return q, k, v


def split(tape: Tape, x: Tensor, sizes: tuple[int, ...]) -> list[Tensor]:
    """Views of parts of the last axis, whose gradients are concatenated in backward."""
    rows = x.numel // sum(sizes)
    joint = tape.through((x, x.bytes), joint=True)
    return [Tensor(x.block, rows * size, x.width, joint) for size in sizes]


def _rotate(tape: Tape, x: Tensor, around: Surroundings) -> Tensor:
    """Rotary embedding of the heads, or of a part of each."""
    if "rope" in around.fused:
        return tape.op(x.numel, x.width, ((x, SAME),))
    if around.library == "torchtune":
        return cast(tape, _rotated(tape, x, around), x.width)
    if around.shapes.head_major:
        return concatenated_rotation(tape, x, around)
    return _rotated(tape, x, around)


def concatenated_rotation(tape: Tape, x: Tensor, around: Surroundings) -> Tensor:
    """A part of each head rotated, in the heads' dtype, and the rest beside it, by a copy."""
    shapes = around.shapes
    share = x.numel * shapes.rotary // shapes.head
    part = Tensor(x.block, share, x.width, tape.through((x, x.bytes)))
    out = cast(tape, _rotated(tape, part, around), x.width)
    rest = Tensor(x.block, x.numel - share, x.width, tape.through((x, x.bytes)))
    return tape.op(x.numel, out.width, ((out, SAME), (rest, SAME)))


def _rotated(tape: Tape, x: Tensor, around: Surroundings) -> Tensor:
    """X * cos + rotate_half(x) * sin, in the wider of both dtypes."""
    straight = times(tape, x, around.positions)
    turned = times(tape, _rotate_half(tape, x), around.positions)
    return added(tape, straight, turned)


def _rotate_half(tape: Tape, x: Tensor) -> Tensor:
    first = Tensor(x.block, x.numel // 2, x.width, tape.through((x, x.bytes)))
    second = Tensor(x.block, x.numel // 2, x.width, tape.through((x, x.bytes)))
    negative = tape.op(x.numel // 2, x.width, ((second, x.bytes // 2),))
    return tape.op(x.numel, x.width, ((negative, SAME), (first, SAME)))


def _feed_forward(tape: Tape, x: Tensor, stack: Stack, around: Surroundings) -> Tensor:
    sparse = "router" in stack.others or "router" in stack.linears
    return experts(tape, x, stack, around) if sparse else _mlp(tape, x, stack, around)


def _mlp(tape: Tape, x: Tensor, stack: Stack, around: Surroundings) -> Tensor:
    linears, name = stack.linears, around.shapes.activation
    if "gate_up" in linears:
        inner = linear(tape, x, linears["gate_up"])
        inner = _gated(tape, *_halves(tape, inner), name, around.fused)
    elif "gate" in linears:
        gate = activation(tape, linear(tape, x, linears["gate"]), name)
        inner = times(tape, gate, linear(tape, x, linears["up"]))
        del gate
    else:
        inner = activation(tape, linear(tape, x, linears["up"]), name)
    return linear(tape, inner, linears["down"])


def _halves(tape: Tape, x: Tensor) -> tuple[Tensor, Tensor]:
    first, second = split(tape, x, (1, 1))
    return first, second


def _gated(tape: Tape, gate: Tensor, up: Tensor, name: str, fused: frozenset[str]) -> Tensor:
    if "swiglu" in fused:
        return tape.op(gate.numel, gate.width, ((gate, SAME), (up, SAME)), (gate.block, up.block))
    return times(tape, up, activation(tape, gate, name))


def experts(tape: Tape, x: Tensor, stack: Stack, around: Surroundings) -> Tensor:
    """A sparse block: the router, then each expert over its share of the tokens, routed evenly."""
    shapes = around.shapes
    mixture = shapes.experts
    tokens = x.numel // shapes.hidden
    chosen = _chosen(tape, x, stack, mixture)
    out = tape.op(x.numel, x.width)
    share = -(-tokens * mixture.top // mixture.count)
    separate = "router" in stack.linears
    played = mixture.count if separate and stack.trained else min(mixture.count, 3)
    for number in range(played):
        before = tape.ledger.now
        picked = tape.op(share * shapes.hidden, x.width, ((x, x.bytes),))
        narrow = (_separate if separate else _stacked)(tape, picked, stack, around, number)
        del picked
        part = _weighted(tape, narrow, chosen, share)
        del narrow
        out = Tensor(out.block, out.numel, out.width, tape.through((part, part.bytes), (out, SAME)))
        del part
        if number == 1:
            out = tape.alike(out, (tape.ledger.now - before) * (mixture.count - played))
    return added(tape, out, _mlp(tape, x, stack, around)) if "down" in stack.linears else out


def _chosen(tape: Tape, x: Tensor, stack: Stack, mixture: Experts) -> Tensor:
    """The router's scores of each token's experts."""
    if "router" in stack.linears:
        logits = linear(tape, x, stack.linears["router"])
    else:
        logits = product(tape, x, stack.others["router"], mixture.count)
    chances = cast(tape, logits, FULL)
    chances = tape.op(chances.numel, FULL, ((chances, chances.bytes),), keeps_result=True)
    return tape.op(chances.numel // mixture.count * mixture.top, FULL, ((chances, chances.bytes),))


def _weighted(tape: Tape, x: Tensor, chosen: Tensor, share: int) -> Tensor:
    score = tape.op(share, FULL, ((chosen, chosen.bytes),))
    return cast(tape, times(tape, x, score), x.width)


def _separate(tape: Tape, x: Tensor, stack: Stack, around: Surroundings, number: int) -> Tensor:
    """An expert that is a module of three linear layers (transformers before 5)."""
    gate, up, down = (stack.linears[f"expert {number} {role}"] for role in ("gate", "up", "down"))
    inner = activation(tape, linear(tape, x, gate), around.shapes.activation)
    inner = times(tape, inner, linear(tape, x, up))
    return linear(tape, inner, down)


def _stacked(tape: Tape, x: Tensor, stack: Stack, around: Surroundings, _: int) -> Tensor:
    """An expert whose weights are a slice of all experts' (transformers 5)."""
    shapes = around.shapes
    share, inner = x.numel // shapes.hidden, shapes.experts.inner
    enter, leave = (tape.leaf(stack.others[name]) for name in ("gate_up", "down"))
    kept = (x.block if enter.node else None,)
    wide = tape.op(share * 2 * inner, x.width, ((x, x.bytes), (enter, enter.bytes)), kept)
    middle = _gated(tape, *_halves(tape, wide), shapes.activation, around.fused)
    del wide
    kept = (middle.block if leave.node else None,)
    return tape.op(share * shapes.hidden, x.width, ((middle, middle.bytes), (leave, leave.bytes)), kept)
