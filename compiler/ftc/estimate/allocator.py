"""What PyTorch's CUDA allocator hands out beyond what is asked for, for weights that stay.

A block of more than 1 MiB is cut from a segment of 20 MiB, or of its own size rounded to 2 MiB from 10 MiB
on; what is left of it stays part of the block, and counts as allocated, unless it exceeds 1 MiB
(`should_split` of CUDACachingAllocator.cpp).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from ftc.estimate.ledger import rounded

MIB = 1 << 20
SMALL = MIB
SEGMENT = 20 * MIB
OWN_SEGMENT = 10 * MIB
ROUND = 2 * MIB
SAMPLED_LAYERS = 8
"""Layers that are laid out; the others waste as much each."""

Piece = tuple[int, int, int]
"""Size, segment and offset of a block, in bytes."""


@dataclass(slots=True)
class Layout:
    """Segments of large blocks, what is free in them, and what blocks hold beyond what was asked for."""

    free: list[Piece] = field(default_factory=list)
    segments: int = 0
    excess: int = 0

    def take(self, size: int) -> Piece | None:
        """A block of `size` bytes: the smallest free piece that holds it, or a new segment's."""
        size = rounded(size)
        if size <= SMALL:
            return None
        index = bisect_left(self.free, (size, -1, -1))
        if index < len(self.free):
            found = self.free.pop(index)
        else:
            self.segments += 1
            whole = SEGMENT if size < OWN_SEGMENT else -(-size // ROUND) * ROUND
            found = (whole, self.segments, 0)
        left = found[0] - size
        if left > MIB:
            insort(self.free, (left, found[1], found[2] + size))
            return (size, found[1], found[2])
        self.excess += left
        return found

    def give(self, block: Piece | None, asked: int) -> None:
        """Give a block back, of which `asked` bytes were asked for; free neighbours become one."""
        if block is None:
            return
        size, segment, offset = block
        self.excess -= size - rounded(asked)
        for piece in [p for p in self.free if p[1] == segment]:
            if piece[2] + piece[0] == offset:
                self.free.remove(piece)
                size, offset = size + piece[0], piece[2]
            elif offset + size == piece[2]:
                self.free.remove(piece)
                size += piece[0]
        insort(self.free, (size, segment, offset))


def plain_excess(outer: list[int], layer: list[int], layers: int) -> int:
    """Excess bytes of weights moved to the device one after the other, by size in bytes."""
    layout = Layout()
    for size in outer:
        layout.take(size)
    before = layout.excess
    sampled = min(layers, SAMPLED_LAYERS)
    for size in layer * sampled:
        layout.take(size)
    return before + (layout.excess - before) * layers // sampled


def quantised_excess(layer: list[tuple[int, int]], layers: int, *, workers: int) -> int:
    """Excess bytes of weights of (loaded, kept) bytes, each quantised on the device and then given back.

    Up to `workers` are there at a time, and which is next is any of them: it is taken by a fixed rule.
    """
    layout = Layout()
    sampled = min(layers, SAMPLED_LAYERS)
    queue = layer * sampled
    waiting: list[tuple[tuple[int, int], Piece | None]] = []
    turn = 1
    while queue or waiting:
        while queue and len(waiting) < workers:
            sizes = queue.pop(0)
            waiting.append((sizes, layout.take(sizes[0])))
        turn = turn * 48271 % 0x7FFFFFFF
        (loaded, kept), block = waiting.pop(turn % len(waiting))
        layout.take(kept)
        layout.give(block, loaded)
    return layout.excess * layers // sampled
