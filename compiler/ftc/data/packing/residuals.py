"""A set of numbers below a limit that finds the smallest member from a number on in constant time."""

from __future__ import annotations

BITS = 10
WORD = (1 << BITS) - 1


class NumberSet:
    """Numbers from 0 to `most`, as a bit set of two levels: words of 1,024 bits, and which have any."""

    def __init__(self, most: int) -> None:
        self._words = [0] * ((most >> BITS) + 1)
        self._any = 0

    def add(self, number: int) -> None:
        """Make a number a member."""
        word = number >> BITS
        self._words[word] |= 1 << (number & WORD)
        self._any |= 1 << word

    def remove(self, number: int) -> None:
        """Take a member out."""
        word = number >> BITS
        self._words[word] ^= 1 << (number & WORD)
        if not self._words[word]:
            self._any ^= 1 << word

    def at_least(self, number: int) -> int | None:
        """The smallest member that is not below a number."""
        word = number >> BITS
        here = self._words[word] >> (number & WORD)
        if here:
            return number + _lowest(here)
        later = self._any >> (word + 1)
        if not later:
            return None
        word += 1 + _lowest(later)
        return (word << BITS) + _lowest(self._words[word])


def _lowest(bits: int) -> int:
    """The place of the lowest bit that is set."""
    return (bits & -bits).bit_length() - 1
