"""Intervals and paired tests against SciPy, and what has to hold for all scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ftc.evaluation.statistics import (
    bootstrap,
    bootstrap_parts,
    mcnemar,
    paired,
    paired_parts,
    ratio,
)

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=40)
PAIRS = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("worse", "better"), [(0, 0), (0, 1), (3, 9), (10, 10), (1, 30), (200, 260), (5000, 5300)]
)
def test_mcnemar_is_the_exact_binomial_test(worse: int, better: int) -> None:
    expected = stats.binomtest(worse, worse + better).pvalue if worse + better else 1.0
    assert mcnemar(worse, better) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_of_agresti_s_textbook_table() -> None:
    """Agresti, Categorical Data Analysis (2002), approval of a prime minister: 86 and 150 changed sides."""
    assert mcnemar(86, 150) == pytest.approx(stats.binomtest(86, 236).pvalue, rel=1e-9)
    assert mcnemar(86, 150) == pytest.approx(3.716e-05, rel=2e-4)  # exact2x2::mcnemar.exact


def test_an_interval_is_scipy_s_percentile_interval() -> None:
    values = np.random.RandomState(3).beta(2, 5, size=200)
    ours = bootstrap(values.tolist(), seed=1)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20000, method="percentile", rng=5)
    assert ours.value == pytest.approx(values.mean())
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.003)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.003)


@pytest.mark.parametrize("count", [8, 60])
def test_a_permutation_test_is_scipy_s(count: int) -> None:
    random = np.random.RandomState(count)
    before = random.uniform(size=count)
    after = before + random.normal(0.05, 0.2, size=count)
    ours = paired(before.tolist(), after.tolist(), seed=7)

    def mean_difference(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        return np.mean(b - a, axis=axis)

    theirs = stats.permutation_test(
        (before, after),
        mean_difference,
        permutation_type="samples",
        vectorized=True,
        n_resamples=20000,
        rng=1,
    )
    assert ours.test == "permutation"
    assert ours.p_value == pytest.approx(theirs.pvalue, abs=0.012 if count > 12 else 1e-9)


def test_scores_of_0_and_1_are_compared_by_mcnemar() -> None:
    found = paired([0, 0, 1, 1, 0, 0, 0], [1, 1, 1, 0, 1, 1, 1], seed=1)
    assert found.test == "mcnemar"
    assert found.difference == pytest.approx(4 / 7)
    assert found.p_value == pytest.approx(stats.binomtest(1, 6).pvalue)


def test_pairs_without_a_score_are_left_out() -> None:
    found = paired([0, None, 1, 0], [1, 1, None, 1], seed=1)
    assert (found.pairs, found.difference) == (2, 1.0)
    assert bootstrap([None, 1.0, 0.0], seed=1).count == 2


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(ValueError, match="no value"):
        bootstrap([None], seed=1)
    with pytest.raises(ValueError, match="no pair"):
        paired([None], [1.0], seed=1)
    with pytest.raises(ValueError, match="same examples"):
        paired_parts([(1.0, 1.0)], [], ratio, seed=1)


def test_the_same_seed_gives_the_same_figures_in_every_release() -> None:
    """The stream is frozen, so these figures may only change with the method."""
    values = [0.0, 1.0, 0.5, 0.25, 1.0, 0.75, 0.0, 0.5, 0.1, 0.9]
    found = bootstrap(values, seed=11)
    assert found == bootstrap(values, seed=11)
    assert (round(found.low, 6), round(found.high, 6)) == (LOW, HIGH)


LOW, HIGH = 0.26, 0.725125


def test_about_95_of_100_intervals_hold_the_true_mean() -> None:
    random = np.random.RandomState(9)
    held = 0
    for seed in range(200):
        found = bootstrap(random.uniform(size=60).tolist(), seed=seed)
        held += found.low <= 0.5 <= found.high
    assert 180 <= held <= 198


@settings(max_examples=30, deadline=None)
@given(SCORES, st.integers(0, 2**32 - 1))
def test_an_interval_lies_between_the_least_and_the_greatest_score(scores: list[float], seed: int) -> None:
    found = bootstrap(scores, seed)
    assert min(scores) - 1e-9 <= found.low <= found.high <= max(scores) + 1e-9
    assert math.isclose(found.value, sum(scores) / len(scores), abs_tol=1e-9)


@settings(max_examples=30, deadline=None)
@given(PAIRS, st.integers(0, 2**32 - 1))
def test_the_sides_change_places_with_the_sign(pairs: list[tuple[float, float]], seed: int) -> None:
    before, after = [b for b, _ in pairs], [a for _, a in pairs]
    one, other = paired(before, after, seed), paired(after, before, seed)
    assert one.difference == pytest.approx(-other.difference)
    assert (one.low, one.high) == (pytest.approx(-other.high), pytest.approx(-other.low))
    assert one.p_value == pytest.approx(other.p_value)
    assert 0 < one.p_value <= 1


def test_a_figure_of_sums_agrees_with_that_of_scores() -> None:
    random = np.random.RandomState(2)
    before, after = random.uniform(size=50).tolist(), random.uniform(size=50).tolist()
    parts = [(value, 1.0) for value in before], [(value, 1.0) for value in after]
    of_sums, of_scores = paired_parts(*parts, ratio, seed=4), paired(before, after, seed=4)
    assert of_sums.difference == pytest.approx(of_scores.difference)
    assert of_sums.low == pytest.approx(of_scores.low)
    assert of_sums.p_value == pytest.approx(of_scores.p_value, abs=0.02)
    weighted = bootstrap_parts([(2.0, 4.0), (3.0, 1.0)], ratio, seed=1)
    assert weighted.value == 1.0


def test_many_examples_are_resampled_in_bounded_memory() -> None:
    found = bootstrap([0.0, 1.0] * 20_000, seed=1)
    assert found.count == 40_000
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.5 / 200, rel=0.1)
