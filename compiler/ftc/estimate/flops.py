"""Floating-point operations of a training step, counted from the model's shapes and what trains.

A multiplication with its addition counts as two, as everywhere. Matrix products alone are counted, which is
what devices' rates speak of. They are linear in three amounts: the tokens that go through the layers, the
pairs of tokens that attention compares, and the positions whose logits are made. So a step is counted once
and applied to any batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from ftc.estimate.architecture import Architecture
from ftc.estimate.fallback import Products, Runs, told
from ftc.estimate.linear import Linear
from ftc.estimate.play import prepared
from ftc.estimate.step import TrainingStep, Tuning
from ftc.estimate.weights import Stack

EAGER = ("eager", "math")
"""Kernels that keep the scores; the others make them again in the backward pass."""

BOTH_WAYS = "both ways"
"""What stands for any kernel of an encoder, whose tokens see later ones too."""

VARIABLE = ("flash_attention_2", "flex")
"""Kernels that are told where rows begin and end, and compare no tokens of different rows."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """What goes through the model: tokens (padding included), pairs of tokens, positions with logits."""

    tokens: float
    pairs: float
    positions: float

    def plus(self, other: Amounts) -> Amounts:
        """Both together."""
        return Amounts(self.tokens + other.tokens, self.pairs + other.pairs, self.positions + other.positions)

    def scaled(self, factor: float) -> Amounts:
        """So many times this."""
        return Amounts(self.tokens * factor, self.pairs * factor, self.positions * factor)


@dataclass(frozen=True, slots=True)
class Operations:
    """Operations by part: per token (linear, adapters), per pair (attention), per position (head)."""

    linear: float = 0.0
    adapters: float = 0.0
    attention: float = 0.0
    head: float = 0.0

    def plus(self, other: Operations) -> Operations:
        """Part by part."""
        return Operations(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def scaled(self, factor: float) -> Operations:
        """So many times this."""
        return Operations(*(getattr(self, f.name) * factor for f in fields(self)))

    def of(self, amounts: Amounts) -> Operations:
        """The operations of these amounts, where this says those of one each."""
        return Operations(
            self.linear * amounts.tokens,
            self.adapters * amounts.tokens,
            self.attention * amounts.pairs,
            self.head * amounts.positions,
        )

    @property
    def total(self) -> float:
        """All parts together."""
        return self.linear + self.adapters + self.attention + self.head


NO_OPERATIONS = Operations()


@dataclass(frozen=True, slots=True)
class StepFlops:
    """Operations per token, pair and position: of the forward pass, the backward pass, and recomputation."""

    forward: Operations
    backward: Operations
    recomputation: Operations

    @property
    def training(self) -> Operations:
        """All three together."""
        return self.forward.plus(self.backward).plus(self.recomputation)

    @property
    def base(self) -> Operations:
        """The forward pass without adapters."""
        return Operations(self.forward.linear, 0.0, self.forward.attention, self.forward.head)


@dataclass(slots=True)
class _Count:
    """The operations of one layer; `flows` says whether its input's gradient is wanted."""

    flows: bool
    forward: Operations = NO_OPERATIONS
    backward: Operations = NO_OPERATIONS

    def add(self, forward: Operations, backward: Operations) -> None:
        self.forward = self.forward.plus(forward)
        self.backward = self.backward.plus(backward)

    def linear(self, layer: Linear, flows: bool, share: float = 1.0) -> bool:
        """A linear layer over a share of the tokens; whether its output needs a gradient."""
        size = 2.0 * layer.inputs * layer.outputs * share
        trains = layer.weight.trains and not layer.quantised
        self.add(Operations(linear=size), Operations(linear=size * (flows + trains)))
        if layer.adapter is None:
            return flows or trains or layer.scale is not None
        down, up = (2.0 * p.numel * share for p in (layer.adapter.down, layer.adapter.up))
        self.add(Operations(adapters=down + up), Operations(adapters=down * (1 + flows) + up * 2))
        return True


@dataclass(frozen=True, slots=True)
class Attends:
    """Pairs that a kernel compares: with `padding`, with `others` (rows packed beside), with `later`."""

    padding: bool
    others: bool
    later: bool

    @classmethod
    def of(cls, kernel: str, *, masked: bool) -> Attends:
        """PyTorch's kernels skip later tokens where no mask is given, and with one nothing at all."""
        if kernel == BOTH_WAYS:
            return cls(padding=True, others=True, later=True)
        if kernel in VARIABLE:
            return cls(padding=False, others=False, later=False)
        skips = kernel in ("flash", "efficient") and not masked
        return cls(padding=True, others=True, later=not skips)

    def pairs(self, lengths: Sequence[int], *, padded_to: int = 0, packed: bool = False) -> float:
        """Pairs in a batch of rows of these lengths: padded to one length, or packed end to end."""
        if packed and self.others:
            found = float(sum(lengths)) ** 2
        elif self.padding and not packed:
            found = len(lengths) * float(padded_to or max(lengths, default=0)) ** 2
        else:
            found = float(sum(length**2 for length in lengths))
        return found if self.later else found / 2


def kernel_of(step: TrainingStep) -> str:
    """What says which pairs are compared."""
    return BOTH_WAYS if step.objective.texts else step.attention


def step_flops(step: TrainingStep) -> StepFlops:
    """What a step computes for each token, pair and position. Raises InexpressibleError."""
    return told(_counted, _by_abstract_run, step)


def _by_abstract_run(runs: Runs, step: TrainingStep) -> StepFlops:
    """What the step's own code computes, adapters being what it computes beyond its base."""
    counts = runs.counts(step)
    bare = step.model_copy(update={"tuning": Tuning(method="full"), "checkpointing": "none"})
    base = step_flops(bare).forward if step.tuning.adapts else None
    parts = [_products(counts.forward), _products(counts.backward), _products(counts.recomputation)]
    if base is not None:
        linear = min(base.linear, parts[0].linear)
        parts[0] = replace(parts[0], linear=linear, adapters=parts[0].linear - linear)
    if step.loss.kernel == "trl" and parts[1].head:
        parts[2] = replace(parts[2], head=parts[0].head)
    return StepFlops(*parts)


def _products(found: Products) -> Operations:
    return Operations(linear=found.token, attention=found.pair, head=found.position)


def _counted(step: TrainingStep) -> StepFlops:
    play = prepared(step)
    checkpointed = step.checkpointing != "none"
    flows = play.ends.others["embedding"].trains
    flows = flows or (step.tuning.adapts and checkpointed)
    forward, backward, again = Operations(), Operations(), Operations()
    for group in play.groups:
        for each in _alike(group.count, flows):
            count = _layer(group.stack, play.shapes, step, each[1])
            forward = forward.plus(count.forward.scaled(each[0]))
            backward = backward.plus(count.backward.scaled(each[0]))
            if checkpointed and count.flows:
                again = again.plus(_recomputed(count, group.stack, play.shapes, step).scaled(each[0]))
            flows = count.flows
    if step.objective.texts:
        return StepFlops(forward, backward, again)
    head = _head(play.ends.linears["head"], flows, step)
    return StepFlops(forward.plus(head.forward), backward.plus(head.backward), again.plus(head.recomputation))


def _alike(count: int, flows: bool) -> list[tuple[int, bool]]:
    """Runs of equal layers: only the first may have an input that needs no gradient."""
    return [(count, True)] if flows else [(1, False), *([(count - 1, True)] if count > 1 else [])]


def _layer(stack: Stack, shapes: Architecture, step: TrainingStep, flows: bool) -> _Count:
    """One decoder layer; afterwards `flows` says whether its output needs a gradient."""
    count = _Count(flows)
    norm = stack.norms.get("input")
    attended = _attention(count, stack, shapes, step, flows or bool(norm and norm.weight.trains))
    entered = flows if shapes.family.parallel else flows or attended
    fed = _experts(count, stack, shapes, entered) if _sparse(stack) else _mlp(count, stack, entered)
    count.flows = flows or attended or fed or bool(stack.trained)
    return count


def _attention(count: _Count, stack: Stack, shapes: Architecture, step: TrainingStep, flows: bool) -> bool:
    linears = stack.linears
    if "qkv" in linears:
        q = k = v = count.linear(linears["qkv"], flows)
    else:
        q, k, v = (count.linear(linears[role], flows) for role in "qkv")
    flows = q or k or v
    product = 2.0 * shapes.queries
    wanted = q + k + (q or k) + v if step.attention in EAGER else 5 * flows
    count.add(Operations(attention=2 * product), Operations(attention=product * wanted))
    return count.linear(linears["o"], flows)


def _mlp(count: _Count, stack: Stack, flows: bool) -> bool:
    linears = stack.linears
    entering = [linears[role] for role in ("gate_up", "gate", "up") if role in linears]
    inner = [count.linear(layer, flows) for layer in entering]
    return count.linear(linears["down"], any(inner))


def _sparse(stack: Stack) -> bool:
    return "router" in stack.others or "router" in stack.linears


def _experts(count: _Count, stack: Stack, shapes: Architecture, flows: bool) -> bool:
    """The router, and of the experts those that see a token: `top` of `count`."""
    mixture = shapes.experts
    if "router" in stack.linears:
        share = mixture.top / mixture.count
        count.linear(stack.linears["router"], flows)
        for name, layer in stack.linears.items():
            if name.startswith("expert "):
                flows = count.linear(layer, flows, share) or flows
        return flows
    sizes = {
        "router": shapes.hidden * mixture.count,
        "gate_up": 2 * shapes.hidden * mixture.inner * mixture.top,
        "down": shapes.hidden * mixture.inner * mixture.top,
    }
    for name, size in sizes.items():
        trains = stack.others[name].trains
        count.add(Operations(linear=2.0 * size), Operations(linear=2.0 * size * (flows + trains)))
        flows = flows or trains
    return _mlp(count, stack, flows) or flows if "down" in stack.linears else flows


def _recomputed(count: _Count, stack: Stack, shapes: Architecture, step: TrainingStep) -> Operations:
    """The layer's forward pass once more.

    Non-reentrant checkpointing stops when all that backward needs is there: before the layer's last product,
    unless something follows it that keeps its input (a norm, dropout, the weighting of experts).
    """
    followed = shapes.family.post_norm or shapes.dropout > 0 or _sparse(stack)
    if step.checkpointing == "reentrant" or followed:
        return count.forward
    last = stack.linears["down"]
    if last.adapter is not None:
        return count.forward.plus(Operations(adapters=-2.0 * last.adapter.up.numel))
    return count.forward.plus(Operations(linear=-2.0 * last.inputs * last.outputs))


def _head(head: Linear, flows: bool, step: TrainingStep) -> StepFlops:
    size = 2.0 * head.inputs * head.outputs
    again = size if step.loss.kernel == "trl" and (flows or head.weight.trains) else 0.0
    return StepFlops(
        Operations(head=size),
        Operations(head=size * (flows + head.weight.trains)),
        Operations(head=again),
    )
