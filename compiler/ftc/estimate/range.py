"""A quantity that is known to lie between two values, with the likeliest between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Range:
    """A low, a likely and a high value, in this order; all three of one unit."""

    low: float
    likely: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.likely <= self.high:
            raise ValueError(f"not in order: {self.low}, {self.likely}, {self.high}")

    @classmethod
    def exactly(cls, value: float) -> Self:
        """The range of a value that is known."""
        return cls(value, value, value)

    @classmethod
    def around(cls, value: float, spread: float) -> Self:
        """A value that may be off by a part of it; at most all of it below."""
        return cls(value * max(0.0, 1 - spread), value, value * (1 + spread))

    def scaled(self, factor: float) -> Range:
        """Each value times a factor that is not negative."""
        return Range(self.low * factor, self.likely * factor, self.high * factor)

    def plus(self, other: Range) -> Range:
        """Lows, likely values and highs added, as if all of them went wrong together."""
        return Range(self.low + other.low, self.likely + other.likely, self.high + other.high)


NOTHING = Range(0.0, 0.0, 0.0)


def total(parts: Iterable[Range]) -> Range:
    """The sum of ranges."""
    whole = NOTHING
    for part in parts:
        whole = whole.plus(part)
    return whole
