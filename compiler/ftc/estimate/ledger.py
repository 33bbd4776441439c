"""The account of a device's memory: blocks taken and given back, the most held at once, and what it was."""

from __future__ import annotations

from dataclasses import dataclass, field

GRANULE = 512
"""Bytes to which PyTorch's CUDA allocator rounds every block (kMinBlockSize of CUDACachingAllocator)."""

KINDS = (
    "weights",
    "quantisation",
    "adapters",
    "gradients",
    "optimizer",
    "activations",
    "logits",
    "temporaries",
)
WEIGHTS, QUANTISATION, ADAPTERS, GRADIENTS, OPTIMIZER, ACTIVATIONS, LOGITS, TEMPORARIES = range(len(KINDS))


def rounded(size: float) -> int:
    """Bytes that the allocator hands out for a block of `size` bytes."""
    return -(-int(size) // GRANULE) * GRANULE


class Block:
    """Memory of one storage; it is given back when nothing refers to the block any more."""

    __slots__ = ("kind", "ledger", "size")

    def __init__(self, ledger: Ledger, size: int, kind: int) -> None:
        size = -(-size // GRANULE) * GRANULE
        self.ledger, self.size, self.kind = ledger, size, kind
        ledger.held[kind] += size
        ledger.now += size
        if ledger.now > ledger.peak:
            ledger.peak = ledger.now
            ledger.at_peak = ledger.held.copy()

    def __del__(self) -> None:
        self.ledger.now -= self.size
        self.ledger.held[self.kind] -= self.size

    def become(self, kind: int) -> None:
        """Count the block as another kind from now on."""
        held = self.ledger.held
        held[self.kind] -= self.size
        held[kind] += self.size
        self.kind = kind


@dataclass
class Ledger:
    """Bytes held now and at the peak of the current segment, by kind."""

    now: int = 0
    peak: int = 0
    held: list[int] = field(default_factory=lambda: [0] * len(KINDS))
    at_peak: list[int] = field(default_factory=lambda: [0] * len(KINDS))

    def hold(self, size: float, kind: int) -> None:
        """Take `size` bytes for good (or give back, where negative)."""
        self.now += int(size)
        self.held[kind] += int(size)
        if self.now > self.peak:
            self.peak = self.now
            self.at_peak = self.held.copy()

    def restart(self) -> None:
        """Begin a new segment: its peak is what is held now."""
        self.peak = self.now
        self.at_peak = self.held.copy()
