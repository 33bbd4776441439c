"""One decoder layer in bytes, as LitGPT's `Block` and `LoRAQKVLinear` run it."""

from __future__ import annotations

from ftc.estimate.attention import attend
from ftc.estimate.layer import Surroundings, concatenated_rotation, norm, split
from ftc.estimate.ledger import TEMPORARIES, Block
from ftc.estimate.linear import Linear, base, linear, product
from ftc.estimate.ops import activation, added, copied, dropout, scaled, times
from ftc.estimate.tape import Tape, Tensor
from ftc.estimate.weights import Stack

INDEX = 8
"""Bytes of an index."""


def decoder_layer(tape: Tape, x: Tensor, stack: Stack, around: Surroundings) -> Tensor:
    """The layer's output; the residual stream goes in and comes out."""
    inner = norm(tape, x, stack.norms["input"], around)
    attended = _attention(tape, inner, stack, around)
    if not around.shapes.family.parallel:
        x = added(tape, x, attended)
        inner = norm(tape, x, stack.norms["mlp"], around)
        return added(tape, x, _mlp(tape, inner, stack, around))
    if "mlp" in stack.norms:
        inner = norm(tape, x, stack.norms["mlp"], around)
    x = added(tape, x, attended)
    return added(tape, x, _mlp(tape, inner, stack, around))


def _attention(tape: Tape, x: Tensor, stack: Stack, around: Surroundings) -> Tensor:
    shapes = around.shapes
    joint = _projected(tape, x, stack.linears["qkv"])
    q, k, v = split(tape, joint, (shapes.queries, shapes.key_values, shapes.key_values))
    del joint
    q, k = (concatenated_rotation(tape, t, around) for t in (q, k))
    out = attend(tape, q, k, v, around.heads, around.kernel)
    del q, k, v
    return linear(tape, out, stack.linears["o"])


def _projected(tape: Tape, x: Tensor, layer: Linear) -> Tensor:
    """The fused projection; LoRA's update of some of its parts is laid between zeros by `index_copy`."""
    plain = base(tape, x, layer)
    adapter = layer.adapter
    if adapter is None:
        return plain
    inner = product(tape, dropout(tape, x, adapter.dropout), adapter.down, adapter.down.numel // layer.inputs)
    outputs = adapter.up.numel // adapter.rank
    rows = x.numel // layer.inputs
    weight = tape.leaf(adapter.up)
    update = tape.op(
        rows * outputs, inner.width, ((inner, inner.bytes), (weight, weight.bytes)), (inner.block,)
    )
    if outputs != layer.outputs:
        update = _between_zeros(tape, update, rows, layer.outputs)
    update = scaled(tape, update)
    return added(tape, plain, update)


def _between_zeros(tape: Tape, update: Tensor, rows: int, outputs: int) -> Tensor:
    """`zeros.index_copy(1, index, update)`, which keeps the index and the update."""
    zeros = Block(tape.ledger, rows * outputs * update.width, TEMPORARIES)
    source = copied(tape, update)
    index = tape.op(source.numel // rows, INDEX)
    out = tape.op(rows * outputs, source.width, ((source, source.bytes),), (source.block, index.block))
    del zeros
    return out


def _mlp(tape: Tape, x: Tensor, stack: Stack, around: Surroundings) -> Tensor:
    linears, name = stack.linears, "silu" if around.shapes.family.gated else "gelu"
    if "gate" not in linears:
        return linear(tape, activation(tape, linear(tape, x, linears["up"]), name), linears["down"])
    gate, up = linear(tape, x, linears["gate"]), linear(tape, x, linears["up"])
    inner = times(tape, activation(tape, gate, name), up)
    return linear(tape, inner, linears["down"])
