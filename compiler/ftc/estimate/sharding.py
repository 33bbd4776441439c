"""What each device of several holds of a model, and what it gathers while a layer runs.

FSDP keeps a shard of every parameter, gradient and optimizer state. A layer's weights are gathered while it
runs, and the next layer's beside them; the root's, embeddings and head, stay from the forward pass to the
end of backward (`FullyShardedDataParallel`, `fully_shard`). DDP keeps all, and a bucket beside each gradient.
"""

from __future__ import annotations

from ftc.estimate.ledger import ADAPTERS, WEIGHTS
from ftc.estimate.step import BYTES, Sharding, TrainingStep
from ftc.estimate.weights import Stack

GATHERED = 2
"""Layers whose weights are whole at a time: the one that runs, and the next."""


def devices(how: Sharding) -> int:
    """Over how many devices parameters are split."""
    return how.devices if how.kind in ("fsdp1", "fsdp2") else 1


def share(step: TrainingStep, kind: int, size: int) -> int:
    """Bytes of `size` that one device keeps; scales of quantised weights are no parameters and stay whole."""
    if kind not in (WEIGHTS, ADAPTERS):
        return size
    return int(size * master(step)) // devices(step.sharding)


def master(step: TrainingStep) -> float:
    """Width of the weights that are kept over that of those which compute."""
    kept = step.sharding.master
    return BYTES[kept] / BYTES[step.weights] if kept else 1.0


def whole(stack: Stack) -> int:
    """Bytes of a stack's parameters when gathered."""
    return stack.bytes.get(WEIGHTS, 0) + stack.bytes.get(ADAPTERS, 0)


def gathered(step: TrainingStep, stack: Stack) -> int:
    """Bytes that are gathered while a layer of this kind runs."""
    return GATHERED * whole(stack) if devices(step.sharding) > 1 else 0
