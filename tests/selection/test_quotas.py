"""Quotas of a mix: exactly in the proportion of the weights, and never more than there is."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftc.data.selection.quotas import exact, mixed, shares

parts = st.lists(
    st.tuples(
        st.integers(1, 10_000), st.sampled_from([0.1, 0.2, 0.25, 0.3, 0.7, 1.0, 3.0]), st.integers(1, 4)
    ),
    min_size=1,
    max_size=6,
)


@given(parts)
def test_a_mix_has_the_proportions_of_its_weights_to_one_row(queries: list[tuple[int, float, int]]) -> None:
    rows, weights, repeats = map(list, zip(*queries, strict=True))
    quotas = mixed(rows, weights, repeats)
    total, whole = sum(quotas), sum(map(exact, weights))
    for quota, count, weight, repeat in zip(quotas, rows, weights, repeats, strict=True):
        assert quota <= count * repeat
        assert abs(quota - exact(weight) / whole * total) < 1
    lacking = [
        exact(weight) / whole * (total + 1) > count * repeat
        for count, weight, repeat in zip(rows, weights, repeats, strict=True)
    ]
    assert any(lacking), "a longer pass would have been possible"


@pytest.mark.parametrize(
    ("rows", "weights", "repeats", "quotas"),
    [
        ([800, 1000], [0.8, 0.2], [1, 1], [800, 200]),
        ([100, 1000], [0.5, 0.5], [1, 1], [100, 100]),
        ([100, 1000], [0.5, 0.5], [3, 1], [300, 300]),
        ([100, 1000], [1, 3], [1, 1], [100, 300]),
        ([10], [0.3], [2], [20]),
        ([7, 7, 7], [0.1, 0.1, 0.1], [1, 1, 1], [7, 7, 7]),
        ([1, 1000], [0.999, 0.001], [1, 1], [1, 0]),
    ],
)
def test_quotas_by_hand(rows: list[int], weights: list[float], repeats: list[int], quotas: list[int]) -> None:
    assert mixed(rows, weights, repeats) == quotas


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5), st.integers(0, 9)), min_size=1, max_size=8),
    st.integers(0, 200),
)
def test_shares_add_up_within_their_bounds(parts: list[tuple[int, int, int]], total: int) -> None:
    sizes = [size for size, _, _ in parts]
    least = [low for _, low, _ in parts]
    most = [low + more for _, low, more in parts]
    ideal = [Fraction(total * size, max(sum(sizes), 1)) for size in sizes]
    found = shares(total, ideal, least, most)
    assert all(low <= one <= high for low, one, high in zip(least, found, most, strict=True))
    assert sum(found) == min(max(total, sum(least)), sum(most))
