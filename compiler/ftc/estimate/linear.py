"""Linear layers in bytes: plain, quantised by bitsandbytes, and with a LoRA adapter as PEFT runs it."""

from __future__ import annotations

from dataclasses import dataclass

from ftc.estimate.ledger import ACTIVATIONS, TEMPORARIES, Block
from ftc.estimate.ops import FULL, added, cast, copied, dropout, scaled, times
from ftc.estimate.tape import SAME, Parameter, Tape, Tensor


@dataclass(slots=True)
class Adapter:
    """The two factors of a LoRA adapter, the dropout of its input, and DoRA's magnitude of each output."""

    down: Parameter
    up: Parameter
    rank: int
    dropout: float
    magnitude: Parameter | None = None


@dataclass(slots=True)
class Linear:
    """A linear layer of `inputs` by `outputs`.

    `quantised` is the width in bytes that a quantised weight is computed in, 0 where the weight is plain;
    `scales` are the bytes that dequantising takes beside the weight in that dtype.
    """

    inputs: int
    outputs: int
    weight: Parameter
    bias: Parameter | None = None
    quantised: int = 0
    scales: int = 0
    keeps_input: bool = False
    int8: bool = False
    adapter: Adapter | None = None
    scale: Parameter | None = None
    scales_input: bool = False
    cast_input: bool = True


def linear(tape: Tape, x: Tensor, layer: Linear) -> Tensor:
    """The layer's output, through its adapter where it has one."""
    if layer.scale is not None and tape.adapters:
        return _scaled(tape, x, layer, layer.scale)
    if layer.adapter is None or not tape.adapters:
        return base(tape, x, layer)
    if layer.adapter.magnitude is not None:
        return _with_magnitude(tape, x, layer, layer.adapter, layer.adapter.magnitude)
    adapted = _adapted_4bit if layer.quantised else _adapted
    return adapted(tape, x, layer, layer.adapter)


def _scaled(tape: Tape, x: Tensor, layer: Linear, scale: Parameter) -> Tensor:
    """PEFT's ia3.Linear: inputs, or outputs, times a scale each, in its dtype, and cast back."""
    if layer.scales_input:
        narrow = cast(tape, times(tape, cast(tape, x, scale.width), tape.leaf(scale)), x.width)
        return base(tape, narrow, layer)
    result = base(tape, x, layer)
    return cast(tape, times(tape, result, tape.leaf(scale)), result.width)


def _with_magnitude(tape: Tape, x: Tensor, layer: Linear, adapter: Adapter, magnitude: Parameter) -> Tensor:
    """PEFT's lora.Linear under DoRA, whose forward pass makes the whole weight's norms each time.

    With dropout the base's output is made once more, of what dropout leaves, in the adapter's dtype.
    """
    result = base(tape, x, layer)
    width = result.width
    if layer.quantised and not layer.int8:
        result = copied(tape, result)
    entire = cast(tape, x, adapter.down.width)
    x = dropout(tape, entire, adapter.dropout)
    weight, update = _norms(tape, layer, adapter, x.width)
    narrow = product(tape, x, adapter.down, adapter.rank)
    wide = product(tape, narrow, adapter.up, layer.outputs)
    del narrow
    before = result
    if adapter.dropout and tape.training:
        before = _once_more(tape, x, layer, weight)
    elif layer.bias is not None:
        before = tape.op(result.numel, result.width, ((result, SAME),))
    factor = tape.op(layer.outputs, magnitude.width, ((tape.leaf(magnitude), magnitude.bytes),))
    own = times(tape, before, factor)
    own = added(tape, own, scaled(tape, times(tape, wide, factor)))
    del update, weight, before, wide  # which are names until PEFT's function returns
    result = cast(tape, added(tape, result, own), width)
    del entire  # a name of the layer's own
    return result


def _once_more(tape: Tape, x: Tensor, layer: Linear, whole: Block) -> Tensor:
    """`F.linear` with the whole weight, which autocast converts and backward keeps so converted."""
    if tape.autocast and tape.autocast != x.width:
        x = cast(tape, x, tape.autocast)
        whole = Block(tape.ledger, layer.inputs * layer.outputs * x.width, TEMPORARIES)
    rows = x.numel // layer.inputs
    return tape.op(rows * layer.outputs, x.width, ((x, x.bytes),), (whole if x.node else None,))


def _norms(tape: Tape, layer: Linear, adapter: Adapter, width: int) -> tuple[Block, list[Block]]:
    """The weight in the adapter's dtype, and the update whole with what its graph keeps; beside them sums.

    The update is the adapter's output for a matrix of one, which the graph keeps as it entered the product.
    """
    size, ledger = layer.inputs * layer.outputs, tape.ledger
    narrow, own = tape.autocast or adapter.down.width, layer.quantised or layer.weight.width
    one = Block(ledger, layer.inputs**2 * width, TEMPORARIES)
    entered = one if narrow == width else Block(ledger, layer.inputs**2 * narrow, TEMPORARIES)
    update = Block(ledger, size * narrow, TEMPORARIES)
    del one
    held = [entered] if tape.recording else []
    del entered
    if narrow != width:
        update = Block(ledger, size * width, TEMPORARIES)
    held.append(update)
    opened = Block(ledger, size * own + layer.scales if layer.quantised else 0, TEMPORARIES)
    weight = Block(ledger, size * width * (own != width), TEMPORARIES)
    sums = [Block(ledger, size * width, TEMPORARIES) for _ in range(2)]
    del sums
    return opened if own == width and layer.quantised else weight, held


def product(tape: Tape, x: Tensor, weight: Parameter, outputs: int, bias: Parameter | None = None) -> Tensor:
    """`F.linear`: the input is kept where the weight trains, a converted weight where the input does."""
    rows = x.numel * outputs // weight.numel
    operand = tape.leaf(weight)
    if tape.autocast:
        x = cast(tape, x, tape.autocast)
        operand = _autocast_weight(tape, weight, operand)
    inputs = [(x, x.bytes), (operand, operand.bytes)]
    if bias is not None and bias.trains:
        inputs.append((tape.leaf(bias), bias.bytes))
    own = Block(tape.ledger, 0, ACTIVATIONS)  # the weight itself is saved too, and counted elsewhere
    saved = (own, x.block if operand.node else None, operand.block if x.node else None)
    return tape.op(rows * outputs, x.width, inputs, saved)


def _autocast_weight(tape: Tape, weight: Parameter, operand: Tensor) -> Tensor:
    """The weight in autocast's dtype; that of one which trains is cached until the region ends."""
    width = tape.autocast or weight.width
    if weight.width == width or weight.width != FULL:
        return operand
    if not weight.trains:
        return cast(tape, operand, width)
    if id(weight) not in tape.cast_weights:
        tape.cast_weights[id(weight)] = cast(tape, operand, width)
    return tape.cast_weights[id(weight)]


def base(tape: Tape, x: Tensor, layer: Linear) -> Tensor:
    """The output without the adapter."""
    if not layer.quantised:
        return product(tape, x, layer.weight, layer.outputs, layer.bias)
    return _int8(tape, x, layer) if layer.int8 else _quantised(tape, x, layer)


def _quantised(tape: Tape, x: Tensor, layer: Linear) -> Tensor:
    """The Linear4bit of bitsandbytes: cast to the compute dtype, the weight dequantised, cast back."""
    inner = cast(tape, x, layer.quantised)
    whole = layer.inputs * layer.outputs * layer.quantised + layer.scales
    scratch = Block(tape.ledger, whole, TEMPORARIES)
    rows = x.numel // layer.inputs
    kept = (inner.block,) if layer.keeps_input else ()
    out = tape.op(rows * layer.outputs, layer.quantised, ((inner, inner.bytes),), kept, temporary=whole)
    del scratch
    _unhooked(tape, inner, layer)
    del inner
    return cast(tape, out, x.width)


def _int8(tape: Tape, x: Tensor, layer: Linear) -> Tensor:
    """LLM.int8() of bitsandbytes: the input in float16, then int8; backward makes the weight in its dtype."""
    half = cast(tape, x.detached(), 2)
    codes = tape.op(x.numel, 1)
    rows = x.numel // layer.inputs
    whole = layer.inputs * layer.outputs * x.width
    kept = (x.block,) if layer.keeps_input else ()
    out = tape.op(rows * layer.outputs, x.width, ((x, x.bytes),), kept, temporary=whole)
    del half, codes
    _unhooked(tape, x, layer)
    return out


def _unhooked(tape: Tape, x: Tensor, layer: Linear) -> None:
    """Keep the input where the function does so by itself, checkpointed or not."""
    if layer.keeps_input and not tape.recording and tape.unhooked is not None and x.block:
        x.block.become(ACTIVATIONS)
        tape.unhooked.append(x.block)


def _low_rank(tape: Tape, x: Tensor, adapter: Adapter) -> Tensor:
    inner = product(tape, dropout(tape, x, adapter.dropout), adapter.down, adapter.rank)
    outputs = adapter.up.numel // adapter.rank
    wide = product(tape, inner, adapter.up, outputs)
    del inner
    return scaled(tape, wide)


def _adapted(tape: Tape, x: Tensor, layer: Linear, adapter: Adapter) -> Tensor:
    """PEFT's lora.Linear: a copy of the input in the adapters' dtype, and the sum cast back."""
    result = base(tape, x, layer)
    width = result.width
    if layer.cast_input:
        x = cast(tape, x, adapter.down.width)
    update = _low_rank(tape, x, adapter)
    result = added(tape, result, update)
    del update
    return cast(tape, result, width)


def _adapted_4bit(tape: Tape, x: Tensor, layer: Linear, adapter: Adapter) -> Tensor:
    """PEFT's lora.Linear4bit: the output cloned, the adapter's cast to its dtype unless autocast is on.

    lora.Linear8bitLt does not clone.
    """
    result = base(tape, x, layer)
    if not layer.int8:
        result = copied(tape, result)
    width = result.width
    if not tape.autocast:
        x = cast(tape, x, adapter.down.width)
    update = _low_rank(tape, x, adapter)
    if not tape.autocast:
        update = cast(tape, update, width)
    return added(tape, result, update)
