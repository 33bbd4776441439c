from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftc.data.split import SPACE, Smallest, key_hash, row_hash, threshold
from ftc.plan.steps import SplitStep

hashes = st.lists(st.integers(0, SPACE - 1), max_size=60).flatmap(
    lambda some: st.lists(st.sampled_from(some), max_size=200) if some else st.just([])
)


def by_fraction(fraction: float, seed: int = 0) -> SplitStep:
    return SplitStep(fraction=fraction, rows=None, keys=("k",), seed=seed)


@given(hashes, st.integers(1, 80))
@settings(deadline=None)
def test_a_number_of_rows_is_the_smallest_hashes_in_whole_groups(rows: list[int], wanted: int) -> None:
    smallest = Smallest(wanted)
    for hash_ in rows:
        smallest.add(hash_)
    counts, held = Counter(rows), set()
    for hash_ in sorted(counts):
        if sum(counts[h] for h in held) >= wanted:
            break
        held.add(hash_)
    assert {hash_ for hash_ in counts if hash_ < smallest.threshold} == held


@given(st.lists(st.text(), max_size=50), st.lists(st.text(), max_size=50), st.floats(0.01, 0.99))
@settings(deadline=None)
def test_a_rows_side_depends_on_its_keys_alone(some: list[str], more: list[str], fraction: float) -> None:
    split = by_fraction(fraction)

    def sides(keys: list[str]) -> dict[str, bool]:
        found = [row_hash(split, {"k": key, "other": n}) for n, key in enumerate(keys)]
        limit = threshold(split, found)
        return {key: hash_ < limit for key, hash_ in zip(keys, found, strict=True)}

    alone, together = sides(some), sides(more + some)
    assert all(together[key] == side for key, side in alone.items())


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.5, 0.9])
def test_the_fraction_is_close(fraction: float) -> None:
    split = by_fraction(fraction)
    held = sum(row_hash(split, {"k": n}) < threshold(split, ()) for n in range(20_000))
    assert abs(held / 20_000 - fraction) < 0.01


def test_the_seed_and_the_kind_of_value_count() -> None:
    assert key_hash(0, ["a"]) != key_hash(1, ["a"])
    assert key_hash(0, ["1"]) != key_hash(0, [1])
    assert key_hash(0, ["a", "b"]) != key_hash(0, ["ab"])


def test_the_hash_does_not_change_between_versions() -> None:
    assert key_hash(0, ["What is DuckDB?"]) == 8159727373224026149


def test_nothing_is_held_out_unless_asked() -> None:
    split = SplitStep(fraction=None, rows=None, keys=(), seed=0)
    assert threshold(split, ()) == 0
