"""Errors of sampling: exact tails of the binomial, tables of Student's t, and coverage by drawing samples."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest

from ftc.estimate.sampling import Moments, incomplete_beta, share, student, total, unseen


def tail(hits: int, sampled: int, part: float) -> float:
    """The probability of at least so many hits, as the binomial's definition has it."""
    p = Fraction(part)
    terms = (comb(sampled, k) * p**k * (1 - p) ** (sampled - k) for k in range(hits, sampled + 1))
    return float(sum(terms, Fraction(0)))


@pytest.mark.parametrize(
    ("hits", "sampled"), [(0, 1), (1, 1), (0, 10), (3, 10), (10, 10), (1, 200), (100, 200), (199, 200)]
)
def test_a_share_is_bounded_where_the_binomial_s_tails_are(hits: int, sampled: int) -> None:
    low, high = share(hits, sampled)
    assert low == 0 if hits == 0 else tail(hits, sampled, low) == pytest.approx(0.025, rel=1e-9)
    assert (
        high == 1 if hits == sampled else 1 - tail(hits + 1, sampled, high) == pytest.approx(0.025, rel=1e-9)
    )


def test_shares_are_those_of_published_tables() -> None:
    # Clopper and Pearson's limits as Newcombe prints them (1998, Statistics in Medicine 17, 857–872, table I)
    assert share(81, 263) == pytest.approx((0.2527, 0.3676), abs=5e-5)
    assert share(15, 148) == pytest.approx((0.0578, 0.1617), abs=5e-5)
    assert share(0, 20) == pytest.approx((0.0, 0.1684), abs=5e-5)
    assert share(1, 29) == pytest.approx((0.0009, 0.1776), abs=5e-5)


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.706), (2, 4.303), (5, 2.571), (10, 2.228), (30, 2.042), (100_000, 1.960)]
)
def test_student_s_t_is_that_of_the_tables(freedom: int, quantile: float) -> None:
    assert student(freedom) == pytest.approx(quantile, abs=6e-4)


@pytest.mark.parametrize(("a", "b"), [(1, 1), (0.5, 0.5), (3, 7), (500, 3), (2, 100_000)])
def test_the_incomplete_beta_function_keeps_its_identities(a: float, b: float) -> None:
    for x in (1e-9, 0.003, 0.3, 0.5, 0.97):
        value = incomplete_beta(x, a, b)
        assert 0 <= value <= 1
        assert value + incomplete_beta(1 - x, b, a) == pytest.approx(1, abs=1e-12)
    assert incomplete_beta(0.25, 1, 1) == pytest.approx(0.25, rel=1e-12)
    assert incomplete_beta(0.25, 2, 1) == pytest.approx(0.0625, rel=1e-12)


POPULATIONS = {
    "lengths": lambda draw: np.round(draw.lognormal(5, 0.7, 20_000)) + 1,
    "mostly none": lambda draw: np.round(draw.lognormal(5, 0.7, 20_000)) * (draw.random(20_000) < 0.1),
    "even": lambda draw: draw.integers(1, 500, 20_000).astype(np.float64),
}


@pytest.mark.parametrize(
    ("name", "sampled", "least"),
    [
        ("lengths", 200, 930),
        ("lengths", 2000, 935),
        ("even", 200, 935),
        ("mostly none", 2000, 935),
        ("mostly none", 200, 900),  # 20 rows have any: their few long ones are missed too often
    ],
)
def test_totals_are_within_their_interval_95_times_of_100(name: str, sampled: int, least: int) -> None:
    draw = np.random.default_rng(7)
    values = POPULATIONS[name](draw)
    held, widths = 0, []
    for _ in range(1000):
        some = draw.choice(values, sampled, replace=False)
        found = total([Moments(len(values), sampled, float(some.sum()), float((some**2).sum()))])
        held += found.low <= values.sum() <= found.high
        widths.append(found.high - found.low)
    assert held >= least  # of 1,000; two standard deviations of the count are 14
    spread = 2 * 1.96 * values.std() * len(values) / np.sqrt(sampled) * np.sqrt(1 - sampled / len(values))
    assert np.mean(widths) == pytest.approx(spread, rel=0.05)


def test_the_share_of_a_fate_is_within_its_interval() -> None:
    draw = np.random.default_rng(7)
    for part in (0.002, 0.05, 0.5):
        drawn = draw.hypergeometric(round(20_000 * part), round(20_000 * (1 - part)), 500, 1000)
        bounds = {hits: share(hits, 500) for hits in set(drawn.tolist())}
        assert sum(bounds[hits][0] <= part <= bounds[hits][1] for hits in drawn.tolist()) >= 945


def test_few_rows_are_longer_than_the_longest_of_a_sample() -> None:
    draw = np.random.default_rng(7)
    for sampled in (20, 500):
        ranks = [draw.choice(20_000, sampled, replace=False).max() for _ in range(2000)]
        beyond = 1 - (np.array(ranks) + 1) / 20_000
        held = float((beyond <= unseen(sampled)).mean())
        assert held == pytest.approx(0.95, abs=0.015)
    assert unseen(1000) == pytest.approx(0.003, abs=1e-4)  # the rule of three


def test_all_rows_leave_no_error() -> None:
    found = total([Moments(3, 3, 6.0, 14.0)])
    assert (found.value, found.low, found.high, found.margin) == (6.0, 6.0, 6.0, 0.0)


def test_strata_add_up() -> None:
    strata = [Moments(100, 10, 50.0, 300.0), Moments(10, 10, 30.0, 100.0)]
    both, first = total(strata), total(strata[:1])
    assert both.value == 530.0
    assert first.value == 500.0
    assert both.high - both.low < first.high - first.low  # the second is known; more degrees of freedom
    assert both.low >= 80.0
