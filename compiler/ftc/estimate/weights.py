"""The weights of a decoder: each layer's linears and norms, which of them train, and their bytes."""

from __future__ import annotations

from dataclasses import dataclass, field

from ftc.estimate.architecture import Architecture
from ftc.estimate.ledger import ADAPTERS, QUANTISATION, WEIGHTS, rounded
from ftc.estimate.linear import Adapter, Linear
from ftc.estimate.step import BYTES, Quantisation, TrainingStep
from ftc.estimate.tape import Parameter

QUANTISED_CODE = 16 * 4
"""Bytes of NF4's table of 16 float32 values, which bitsandbytes keeps with each weight."""

INDEX = 8
"""Bytes of a position, or of a text's type, of which an encoder keeps a row."""

NESTED_BLOCK = 256
"""Scales in a block where they are quantised themselves (bitsandbytes' `quantize_4bit`)."""

NESTED_CODE = 256 * 4
"""Bytes of the table of 256 float32 values of nested quantisation."""


@dataclass(slots=True)
class Norm:
    """A norm's weight, and its bias where it has one."""

    weight: Parameter
    bias: Parameter | None = None


@dataclass(slots=True)
class Stack:
    """Parameters that live together, with their bytes by kind and the sizes of those that train."""

    linears: dict[str, Linear] = field(default_factory=dict)
    norms: dict[str, Norm] = field(default_factory=dict)
    others: dict[str, Parameter] = field(default_factory=dict)
    bytes: dict[int, int] = field(default_factory=dict)
    trained: list[Parameter] = field(default_factory=list)

    def add(self, parameter: Parameter, kind: int = WEIGHTS) -> Parameter:
        """Count a parameter that is kept as it is."""
        self.hold(rounded(parameter.bytes), kind)
        if parameter.trains:
            self.trained.append(parameter)
        return parameter

    def hold(self, size: int, kind: int) -> None:
        """Count bytes of a kind."""
        self.bytes[kind] = self.bytes.get(kind, 0) + size


@dataclass(slots=True)
class Builder:
    """Makes parameters as a step says: in its dtypes, quantised, trained, with adapters.

    `trains` is whether the weights of the base that are made now train.
    """

    step: TrainingStep
    shapes: Architecture
    trains: bool = False

    @property
    def width(self) -> int:
        """Bytes of an element of a weight that is not quantised, embeddings and head aside."""
        quantisation = self.step.quantisation
        return 4 if quantisation and quantisation.upcast else BYTES[self.step.weights]

    @property
    def end_width(self) -> int:
        """Bytes of an element of the embeddings and the head."""
        quantisation = self.step.quantisation
        upcast = quantisation and quantisation.upcast and quantisation.upcast_ends
        return 4 if upcast else BYTES[self.step.weights]

    def norm(self, stack: Stack, name: str, size: int) -> None:
        """A norm over `size` features."""
        weight = stack.add(Parameter(size, self.width, trains=self.trains))
        layered = self.shapes.family.norm == "layer"
        bias = stack.add(Parameter(size, self.width, trains=self.trains)) if layered else None
        stack.norms[name] = Norm(weight, bias)

    def linear(self, stack: Stack, role: str, shape: tuple[int, int], *, bias: bool = False) -> None:
        """A linear layer of the decoder, of `shape` (inputs, outputs)."""
        inputs, outputs = shape
        quantisation = self.step.quantisation
        if quantisation:
            weight = Parameter(inputs * outputs, BYTES[self.step.weights], trains=False)
            _quantise(stack, weight.numel, outputs, quantisation)
        else:
            weight = stack.add(Parameter(inputs * outputs, self.width, trains=self.trains))
        layer = Linear(inputs, outputs, weight)
        if bias:
            layer.bias = stack.add(Parameter(outputs, self.width, trains=self.trains))
        if quantisation:
            layer.quantised = BYTES[quantisation.compute]
            layer.int8 = quantisation.kind == "int8"
            layer.keeps_input = layer.int8 or quantisation.keeps_input
            layer.scales = weight.numel // quantisation.block * 4 if quantisation.double else 0
            layer.scales += weight.numel * 2 if quantisation.through_half else 0
        if self.adapted(role):
            self._adapt(stack, layer, role)
        stack.linears[role] = layer

    def adapted(self, role: str) -> bool:
        """Whether the targets name the linear layer of this role."""
        tuning = self.step.tuning
        if tuning.method != "lora" or tuning.targets is None:
            return False
        return tuning.targets == "all-linear" or self._named(role, tuning.targets)

    def _named(self, role: str, targets: tuple[str, ...]) -> bool:
        """Whether the linear layer of this role is among modules by the ends of their names."""
        role = role.rsplit(" ", 1)[-1]
        name = str(getattr(self.shapes.family.names, role, role))
        return any(name == target.rsplit(".", 1)[-1] for target in targets)

    def _adapt(self, stack: Stack, layer: Linear, role: str) -> None:
        """Give a layer what its method trains in it."""
        tuning = self.step.tuning
        if tuning.adapter == "lora":
            layer.adapter = self._adapter(stack, layer.inputs, layer.outputs)
            return
        layer.scales_input = self._named(role, tuning.feedforward)
        size = layer.inputs if layer.scales_input else layer.outputs
        layer.scale = stack.add(Parameter(size, BYTES[tuning.dtype], trains=True), ADAPTERS)

    def _adapter(self, stack: Stack, inputs: int, outputs: int) -> Adapter:
        tuning = self.step.tuning
        rank, width = tuning.rank or 1, BYTES[tuning.dtype]
        down = stack.add(Parameter(inputs * rank, width, trains=True), ADAPTERS)
        up = stack.add(Parameter(outputs * rank, width, trains=True), ADAPTERS)
        magnitude = stack.add(Parameter(outputs, width, trains=True), ADAPTERS) if tuning.dora else None
        return Adapter(down, up, rank, tuning.dropout, magnitude)


def decoder_layer(build: Builder, *, sparse: bool) -> Stack:
    """The parameters of one decoder layer; `sparse` has experts in place of the MLP."""
    shapes, family = build.shapes, build.shapes.family
    stack = Stack()
    if family.pre_norm:
        build.norm(stack, "input", shapes.hidden)
    _attention(build, stack)
    if family.post_norm:
        build.norm(stack, "after_attention", shapes.hidden)
    if not family.shared_norm and family.pre_norm:
        build.norm(stack, "mlp", shapes.hidden)
    if sparse:
        _experts(build, stack)
    else:
        _mlp(build, stack, shapes.inner)
    if family.post_norm:
        build.norm(stack, "after_mlp", shapes.hidden)
    return stack


def _attention(build: Builder, stack: Stack) -> None:
    shapes, family = build.shapes, build.shapes.family
    hidden, queries, keys = shapes.hidden, shapes.queries, shapes.key_values
    if build.step.code.library == "litgpt":
        _joint_projection(build, stack)
    elif family.fused_qkv:
        build.linear(stack, "qkv", (hidden, queries + 2 * keys), bias=family.qkv_bias)
    else:
        for role, size in (("q", queries), ("k", keys), ("v", keys)):
            build.linear(stack, role, (hidden, size), bias=family.qkv_bias)
    if family.qk_norm != "none":
        whole = family.qk_norm == "full"
        build.norm(stack, "q", queries if whole else shapes.head)
        build.norm(stack, "k", keys if whole else shapes.head)
    build.linear(stack, "o", (queries, hidden), bias=family.o_bias)


def _joint_projection(build: Builder, stack: Stack) -> None:
    """LitGPT's fused projection, whose adapter updates those of queries, keys and values that are targets."""
    shapes, step = build.shapes, build.step
    sizes = {"q": shapes.queries, "k": shapes.key_values, "v": shapes.key_values}
    build.linear(stack, "qkv", (shapes.hidden, sum(sizes.values())), bias=shapes.family.qkv_bias)
    parts = [size for role, size in sizes.items() if build.adapted(role)]
    if not parts:
        return
    rank, width = step.tuning.rank or 1, BYTES[step.tuning.dtype]
    down = stack.add(Parameter(shapes.hidden * rank * len(parts), width, trains=True), ADAPTERS)
    up = stack.add(Parameter(sum(parts) * rank, width, trains=True), ADAPTERS)
    stack.linears["qkv"].adapter = Adapter(down, up, rank, step.tuning.dropout)


def _mlp(build: Builder, stack: Stack, inner: int, prefix: str = "") -> None:
    hidden, family = build.shapes.hidden, build.shapes.family
    if family.fused_gate_up:
        build.linear(stack, prefix + "gate_up", (hidden, 2 * inner), bias=family.mlp_bias)
    else:
        if family.gated:
            build.linear(stack, prefix + "gate", (hidden, inner), bias=family.mlp_bias)
        build.linear(stack, prefix + "up", (hidden, inner), bias=family.mlp_bias)
    build.linear(stack, prefix + "down", (inner, hidden), bias=family.mlp_bias)


STACKED_EXPERTS = (5,)
"""transformers that keep the experts' weights stacked; before, each expert was a module of linear layers."""


def _experts(build: Builder, stack: Stack) -> None:
    """The router and the experts' stacked weights, which neither PEFT's `all-linear` nor bitsandbytes see."""
    experts, hidden = build.shapes.experts, build.shapes.hidden
    if build.step.code.release("transformers") < STACKED_EXPERTS:
        build.linear(stack, "router", (hidden, experts.count))
        for number in range(experts.count):
            for role, shape in (
                ("gate", (hidden, experts.inner)),
                ("up", (hidden, experts.inner)),
                ("down", (experts.inner, hidden)),
            ):
                build.linear(stack, f"expert {number} {role}", shape)
        return
    router = Parameter(hidden * experts.count, build.width, trains=build.trains)
    stack.others["router"] = stack.add(router)
    for name, features in (("gate_up", 2 * experts.inner), ("down", experts.inner)):
        size = experts.count * features * hidden
        stack.others[name] = stack.add(Parameter(size, build.width, trains=build.trains))
    if experts.shared:
        _mlp(build, stack, experts.shared)


def ends(build: Builder, *, embedding: bool, head: bool) -> Stack:
    """Embeddings, the last norm and the head; a tied head is the embedding."""
    shapes, family, step = build.shapes, build.shapes.family, build.step
    stack = Stack()
    size = shapes.vocabulary * shapes.hidden
    table = Parameter(size, build.end_width, trains=embedding or (head and shapes.tied))
    stack.others["embedding"] = stack.add(table)
    if family.learned:
        positions = (shapes.positions + family.position_offset) * shapes.hidden
        stack.others["positions"] = stack.add(Parameter(positions, build.end_width, trains=embedding))
    build.norm(stack, "last", shapes.hidden)
    if step.objective.scores:
        _scores(build, stack, step.objective.scores, trains=head)
    elif shapes.tied:
        stack.linears["head"] = Linear(shapes.hidden, shapes.vocabulary, table)
    elif step.quantisation and step.quantisation.head:
        build.linear(stack, "head", (shapes.hidden, shapes.vocabulary), bias=family.head_bias)
    else:
        weight = stack.add(Parameter(size, build.end_width, trains=head))
        stack.linears["head"] = Linear(shapes.hidden, shapes.vocabulary, weight)
        if family.head_bias:
            stack.linears["head"].bias = stack.add(Parameter(shapes.vocabulary, build.end_width, trains=head))
    return stack


def encoder_ends(build: Builder) -> Stack:
    """An encoder's embeddings with their norm, and the pooler, which is made and read by nobody."""
    shapes, stack = build.shapes, Stack()
    hidden = shapes.hidden
    sizes = {"embedding": shapes.vocabulary, "positions": shapes.positions, "types": shapes.token_types}
    for name, rows in sizes.items():
        stack.others[name] = stack.add(Parameter(rows * hidden, build.width, trains=build.trains))
    build.norm(stack, "embedding", hidden)
    apart = Stack()
    build.linear(apart, "pooler", (hidden, hidden), bias=True)
    stack.linears = apart.linears
    stack.hold(apart.bytes[WEIGHTS] + 2 * rounded(shapes.positions * INDEX), WEIGHTS)
    return stack


def _scores(build: Builder, stack: Stack, scores: int, *, trains: bool) -> None:
    """A new head; under adapters PEFT trains a copy of it (`modules_to_save`)."""
    size, adapted = build.shapes.hidden * scores, build.step.tuning.adapts
    if adapted:
        stack.add(Parameter(size, build.end_width, trains=False))
    weight = Parameter(size, build.end_width, trains=trains or adapted)
    stack.add(weight, ADAPTERS if adapted else WEIGHTS)
    stack.linears["head"] = Linear(build.shapes.hidden, scores, weight)


def _quantise(stack: Stack, numel: int, outputs: int, quantisation: Quantisation) -> None:
    """Count a quantised weight: its codes, its blocks' scales, and their tables."""
    if quantisation.kind == "int8":
        stack.hold(rounded(numel), WEIGHTS)
        stack.hold(rounded(outputs * 4), QUANTISATION)
        return
    blocks = -(-numel // quantisation.block)
    stack.hold(rounded(numel / 2), WEIGHTS)
    stack.hold(rounded(QUANTISED_CODE), QUANTISATION)
    if not quantisation.double:
        stack.hold(rounded(4 * blocks), QUANTISATION)
        return
    nested = -(-blocks // NESTED_BLOCK)
    sizes = (blocks, 4 * nested, NESTED_CODE, 4)
    stack.hold(sum(rounded(size) for size in sizes), QUANTISATION)
