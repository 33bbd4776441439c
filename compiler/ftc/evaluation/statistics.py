"""How sure a figure is: bootstrap intervals, and tests of a difference on the same examples.

Random numbers come from NumPy's RandomState, whose stream is frozen (NEP 19), so a seed gives the same
figures with every version. NumPy is imported inside the functions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ftc.evaluation.base import Combine

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

RESAMPLES = 2000
FLIPS = 9999
CONFIDENCE = 0.95
EXACT_UP_TO = 12
"""Differing pairs up to which all swaps of the two sides are tried, 2^12 of them, instead of random ones."""
CHUNK = 2**21
"""Random numbers drawn at a time."""

Test = Literal["mcnemar", "permutation"]


@dataclass(frozen=True)
class Interval:
    """A figure with the bounds of its 95 % bootstrap interval, and how many examples it was made of."""

    low: float
    value: float
    high: float
    count: int


@dataclass(frozen=True)
class Paired:
    """After minus before, its 95 % bootstrap interval, and the two-sided p-value of the test named."""

    difference: float
    low: float
    high: float
    p_value: float
    test: Test
    pairs: int


def bootstrap(values: Sequence[float | None], seed: int, confidence: float = CONFIDENCE) -> Interval:
    """The mean of the values there are, with its percentile interval. Raises ValueError where there are none.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; 2,000 resamples.
    """
    there = [value for value in values if value is not None]
    return bootstrap_parts([(value, 1.0) for value in there], ratio, seed, confidence)


def bootstrap_parts(
    parts: Sequence[tuple[float, ...]], combine: Combine, seed: int, confidence: float = CONFIDENCE
) -> Interval:
    """The same for a figure that `combine` makes of the examples' sums, as BLEU or perplexity."""
    if not parts:
        raise ValueError("there is no value to take a mean of")
    matrix = _matrix(parts)
    figures = [combine(row) for sums in _resampled(matrix, seed) for row in sums.tolist()]
    low, high = _bounds(figures, confidence)
    return Interval(low, combine(_sums(parts)), high, len(parts))


def paired(before: Sequence[float | None], after: Sequence[float | None], seed: int) -> Paired:
    """The mean difference of paired scores, with its bootstrap interval and a two-sided p-value.

    Where every score is 0 or 1: McNemar's exact test on the pairs that differ (McNemar 1947, in its exact
    binomial form). Otherwise a permutation test that swaps the two sides of an example (Noreen 1989): all
    swaps up to 12 differing pairs, else 9,999 random ones, with (hits + 1) / (swaps + 1) (Phipson and Smyth
    2010). Pairs of which one side has no score are left out. Raises ValueError where lengths differ or no
    pair is left.
    """
    both = [(b, a) for b, a in zip(before, after, strict=True) if b is not None and a is not None]
    if not both:
        raise ValueError("there is no pair of scores to compare")
    differences = [(a - b, 1.0) for b, a in both]
    interval = bootstrap_parts(differences, ratio, seed)
    test: Test = "permutation"
    if all(score in (0, 1) for pair in both for score in pair):
        test, p_value = "mcnemar", mcnemar(sum(a < b for b, a in both), sum(a > b for b, a in both))
    else:
        p_value = _sign_flips([difference for difference, _ in differences if difference], seed)
    return Paired(interval.value, interval.low, interval.high, p_value, test, len(both))


def paired_parts(
    before: Sequence[tuple[float, ...]], after: Sequence[tuple[float, ...]], combine: Combine, seed: int
) -> Paired:
    """The difference of two figures made of sums, by the same resamples of examples on both sides.

    The p-value is that of approximate randomisation: each example's sides are swapped or not, 9,999 times
    (Riezler and Maxwell 2005, for BLEU). Raises ValueError where lengths differ or there is no example.
    """
    if not before or len(before) != len(after):
        raise ValueError("the two sides need the same examples, and at least one")
    width = len(before[0])
    matrix = _matrix([(*b, *a) for b, a in zip(before, after, strict=True)])

    def difference(sums: Sequence[float]) -> float:
        return combine(sums[width:]) - combine(sums[:width])

    value = difference([*_sums(before), *_sums(after)])
    figures = [difference(row) for sums in _resampled(matrix, seed) for row in sums.tolist()]
    low, high = _bounds(figures, CONFIDENCE)
    swapped = [difference(row) for sums in _swapped(matrix, width, seed) for row in sums.tolist()]
    return Paired(value, low, high, _p_value(swapped, value), "permutation", len(before))


def mcnemar(worse: int, better: int) -> float:
    """The two-sided exact p-value of McNemar's test.

    `worse` and `better` count the examples that only one of the two models gets right: under the null
    hypothesis the smaller of them is binomial with probability one half. 1 where no example differs.
    """
    trials, smaller = worse + better, min(worse, better)
    tails = math.fsum(math.exp(_log_binomial(trials, k)) for k in range(smaller + 1))
    return min(1.0, 2 * tails)


def _log_binomial(trials: int, successes: int) -> float:
    """The logarithm of the probability of so many successes in fair trials."""
    ways = math.lgamma(trials + 1) - math.lgamma(successes + 1) - math.lgamma(trials - successes + 1)
    return ways - trials * math.log(2)


def ratio(sums: Sequence[float]) -> float:
    """The first sum by the second: the mean, where the second counts the examples."""
    return sums[0] / sums[1]


def _matrix(parts: Sequence[tuple[float, ...]]) -> Matrix:
    import numpy as np

    return np.array(parts, dtype=np.float64)


def _sums(parts: Sequence[tuple[float, ...]]) -> list[float]:
    return [math.fsum(column) for column in zip(*parts, strict=True)]


def _chunks(times: int, width: int) -> Iterator[int]:
    """How many resamples to draw at a time, so that one draw takes bounded memory."""
    at_once = max(1, CHUNK // width)
    for done in range(0, times, at_once):
        yield min(at_once, times - done)


def _resampled(matrix: Matrix, seed: int) -> Iterator[Matrix]:
    """The columns' sums over resamples of the rows, drawn with replacement; a few resamples at a time."""
    import numpy as np

    random, rows = np.random.RandomState(seed), len(matrix)
    for times in _chunks(RESAMPLES, rows * matrix.shape[1]):
        picked = random.randint(0, rows, size=(times, rows), dtype=np.int64)
        yield matrix[picked].sum(axis=1)


def _swapped(matrix: Matrix, width: int, seed: int) -> Iterator[Matrix]:
    """The columns' sums with the two halves of each row swapped or not, by chance."""
    import numpy as np

    random, rows = np.random.RandomState(seed), len(matrix)
    other = np.concatenate([matrix[:, width:], matrix[:, :width]], axis=1)
    for times in _chunks(FLIPS, rows):
        flips = random.randint(0, 2, size=(times, rows), dtype=np.int8).astype(np.float64)
        yield flips @ other + (1 - flips) @ matrix


def _sign_flips(differences: list[float], seed: int) -> float:
    """The p-value of the sum of the differences when each may as well have the other sign."""
    import numpy as np

    if not differences:
        return 1.0
    values, observed = np.array(differences), math.fsum(differences)
    if len(differences) <= EXACT_UP_TO:
        numbers = np.arange(2 ** len(differences))[:, None]
        signs = 1 - 2 * ((numbers >> np.arange(len(differences))) & 1)
        return sum(_reaches(float(one), observed) for one in signs @ values) / len(numbers)
    random, sums = np.random.RandomState(seed), list[float]()
    for times in _chunks(FLIPS, len(differences)):
        flips = random.randint(0, 2, size=(times, len(differences)), dtype=np.int8)
        sums += ((1 - 2.0 * flips) @ values).tolist()
    return _p_value(sums, observed)


def _reaches(figure: float, observed: float) -> bool:
    """Whether a figure is as far from zero as the observed one, rounding aside."""
    return abs(figure) >= abs(observed) * (1 - 1e-9)


def _p_value(figures: Sequence[float], observed: float) -> float:
    return (sum(_reaches(one, observed) for one in figures) + 1) / (len(figures) + 1)


def _bounds(figures: list[float], confidence: float) -> tuple[float, float]:
    import numpy as np

    tail = (1 - confidence) / 2
    low, high = np.quantile(np.array(figures), [tail, 1 - tail])
    return float(low), float(high)
