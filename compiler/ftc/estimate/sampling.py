"""What a sample says of all rows: totals with their error, shares, and how much is beyond the longest.

All intervals are two-sided with a confidence of 95 %, where not said otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, fsum, lgamma, log, log1p, sqrt

CONFIDENCE = 0.95
TAIL = (1 - CONFIDENCE) / 2
TINY = 1e-300
TERMS = 10_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure of all rows as a sample has it, and the interval that holds the true one."""

    value: float
    low: float
    high: float

    @property
    def margin(self) -> float:
        """How far the further end of the interval is from the value, as a part of it; 0 for nothing."""
        away = max(self.high - self.value, self.value - self.low)
        return away / self.value if self.value else 0.0


@dataclass(frozen=True, slots=True)
class Moments:
    """One figure, such as tokens, over rows drawn without replacement from `population` rows.

    `total` is its sum over the `sampled` rows and `squares` that of its squares; rows without it count as 0.
    """

    population: int
    sampled: int
    total: float
    squares: float

    @property
    def variance(self) -> float:
        """The variance of the figure among the rows (n - 1)."""
        if self.sampled < 2:
            return 0.0
        return max(0.0, self.squares - self.total**2 / self.sampled) / (self.sampled - 1)


def total(strata: Sequence[Moments]) -> Estimate:
    """The figure's total over all rows, each stratum with a sample of its own.

    The standard error is that of the mean, with the correction for a finite population: N s / √n · √(1 − n/N)
    (Cochran 1977, Sampling Techniques, 2.15 and 5.9), times Student's t with the samples' degrees of freedom.
    The true total is no less than what the sample has itself.
    """
    drawn = [one for one in strata if one.sampled]
    value = fsum(one.population * one.total / one.sampled for one in drawn)
    variance = fsum(
        one.population**2 * one.variance / one.sampled * (1 - one.sampled / one.population) for one in drawn
    )
    freedom = sum(one.sampled - 1 for one in drawn)
    away = student(freedom) * sqrt(variance) if freedom > 0 else 0.0
    return Estimate(value, max(value - away, fsum(one.total for one in drawn)), value + away)


def share(hits: int, sampled: int) -> tuple[float, float]:
    """The exact interval for the share of rows of which `hits` of `sampled` are such (Clopper, Pearson 1934).

    Of a sample without replacement it is too wide rather than too narrow.
    """
    low = beta_quantile(TAIL, hits, sampled - hits + 1) if hits else 0.0
    high = beta_quantile(1 - TAIL, hits + 1, sampled - hits) if hits < sampled else 1.0
    return low, high


def unseen(sampled: int) -> float:
    """The share of rows which at most are as no row of the sample is, such as longer than its longest.

    With a confidence of 95 % (one-sided), whatever the distribution: 1 − 0.05^(1/n), as the n-th order
    statistic is above the quantile q with the probability 1 − q^n (Wilks 1941).
    """
    return 1 - (1 - CONFIDENCE) ** (1 / sampled) if sampled else 1.0


def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t distribution."""

    def below(t: float) -> float:
        return 1 - incomplete_beta(freedom / (freedom + t * t), freedom / 2, 0.5) / 2

    return _solved(below, 1 - TAIL, 64.0)


def beta_quantile(probability: float, a: float, b: float) -> float:
    """The value below which a beta distribution has so much of its mass."""
    return _solved(lambda x: incomplete_beta(x, a, b), probability, 1.0)


def _solved(rising: Callable[[float], float], wanted: float, high: float) -> float:
    """Where a rising function of 0 … `high` has a value, by bisection."""
    low = 0.0
    for _ in range(200):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if rising(middle) < wanted else (low, middle)
    return (low + high) / 2


def incomplete_beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by its continued fraction (DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(1 - x, b, a)
    front = exp(a * log(x) + b * log1p(-x) + lgamma(a + b) - lgamma(a + 1) - lgamma(b))
    return front / _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    """1 + d1 / (1 + d2 / (1 + …)), by the modified Lentz method (Thompson, Barnett 1986)."""
    value = upper = 1.0
    lower = 0.0
    for term in range(1, TERMS):
        m, odd = divmod(term, 2)
        if odd:
            d = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            d = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        lower = 1 / ((1 + d * lower) or TINY)
        upper = (1 + d / upper) or TINY
        value *= upper * lower
        if abs(upper * lower - 1) < 1e-15:
            break
    return value
