"""How MinHash signatures are cut into bands: rows that agree in one whole band are compared."""

from __future__ import annotations

FOUND = 0.99
"""How probably a pair is compared that is just as similar as asked."""


def bands_for(similarity: float, hashes: int) -> int:
    """The fewest bands with which a pair of this similarity agrees in one with the probability FOUND.

    A band of r hashes agrees with the probability similarity ** r (Broder 1997; Leskovec, Rajaraman and
    Ullman, Mining of Massive Datasets, 3.4).
    """
    chances = ((bands, 1 - (1 - similarity ** (hashes // bands)) ** bands) for bands in range(1, hashes))
    return next((bands for bands, chance in chances if chance >= FOUND), hashes)
