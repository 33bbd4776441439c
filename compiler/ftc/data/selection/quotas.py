"""Whole numbers in proportion: of rows to hold out of each value, of rows to take of each query."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from heapq import heapify, heappop, heappush


def exact(number: float) -> Fraction:
    """A number as it was written, not as it is in binary: 0.1 is a tenth."""
    return Fraction(repr(number))


def shares(total: int, ideal: Sequence[Fraction], least: Sequence[int], most: Sequence[int]) -> list[int]:
    """Whole numbers that add up to `total` and are nearest to `ideal`, each within its bounds.

    The largest remainders are rounded up (Hamilton); of equal ones the first. Where the bounds leave no way
    to `total`, what they allow.
    """
    found = [min(max(int(wanted), low), high) for wanted, low, high in zip(ideal, least, most, strict=True)]
    step = 1 if sum(found) < total else -1
    bounds = most if step > 0 else least
    waiting = [
        (step * (have - wanted), place)
        for place, (have, wanted) in enumerate(zip(found, ideal, strict=True))
        if have != bounds[place]
    ]
    heapify(waiting)
    for _ in range(abs(total - sum(found))):
        if not waiting:
            break
        distance, place = heappop(waiting)
        found[place] += step
        if found[place] != bounds[place]:
            heappush(waiting, (distance + 1, place))
    return found


def mixed(rows: Sequence[int], weights: Sequence[float], repeats: Sequence[int]) -> list[int]:
    """How often rows of each query are trained on in one pass.

    The queries stand in the proportion of their weights, exactly to one row, and a pass is as long as the
    query lasts that is exhausted first: `rows` of it, each at most `repeat` times.
    """
    parts = [exact(weight) for weight in weights]
    whole = sum(parts, Fraction(0))
    parts = [part / whole for part in parts]
    there = [count * repeat for count, repeat in zip(rows, repeats, strict=True)]
    length = min(int(count / part) for count, part in zip(there, parts, strict=True))
    return shares(length, [part * length for part in parts], [0] * len(parts), there)
