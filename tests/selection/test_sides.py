"""Which rows are held out: a hash of their keys decides, so that nothing else moves a row."""

from __future__ import annotations

import json
from collections import Counter
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftc.data.selection.hashes import SPACE, key_hash, row_hash, smallest
from ftc.data.selection.sides import by_hash, stratified
from ftc.plan.steps import SplitStep

hashes = st.lists(st.integers(0, SPACE - 1), max_size=60).flatmap(
    lambda some: st.lists(st.sampled_from(some), max_size=200) if some else st.just([])
)
few = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 4)), max_size=120)
fractions = st.floats(0.01, 0.99)


def split(
    *, fraction: float | None = None, rows: int | None = None, seed: int = 0, stratify: str | None = None
) -> SplitStep:
    return SplitStep(fraction=fraction, rows=rows, keys=("k",), seed=seed, stratify=stratify)


def numbers(values: list[int]) -> np.ndarray[Any, Any]:
    return np.array(values, dtype=np.uint64)


@given(hashes, st.integers(1, 80))
@settings(deadline=None)
def test_a_number_of_rows_is_the_smallest_hashes_in_whole_groups(rows: list[int], wanted: int) -> None:
    counts, held = Counter(rows), set()
    for hash_ in sorted(counts):
        if sum(counts[h] for h in held) >= wanted:
            break
        held.add(hash_)
    found = by_hash(split(rows=wanted), numbers(rows))
    assert {hash_ for hash_, out in zip(rows, found, strict=True) if out} == held


@given(st.lists(st.text(), max_size=50), st.lists(st.text(), max_size=50), fractions)
@settings(deadline=None)
def test_a_rows_side_depends_on_its_keys_alone(some: list[str], more: list[str], fraction: float) -> None:
    step = split(fraction=fraction)

    def sides(keys: list[str]) -> dict[str, bool]:
        found = by_hash(step, numbers([row_hash(step, {"k": k, "other": n}) for n, k in enumerate(keys)]))
        return dict(zip(keys, found.tolist(), strict=True))

    alone, together = sides(some), sides(more + some)
    assert all(together[key] == side for key, side in alone.items())


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("seed", [0, 1, 2**31])
def test_the_fraction_is_within_the_bounds_of_chance(fraction: float, seed: int) -> None:
    step, count = split(fraction=fraction, seed=seed), 20_000
    held = by_hash(step, numbers([row_hash(step, {"k": n}) for n in range(count)])).sum()
    assert abs(held - fraction * count) < 5 * (count * fraction * (1 - fraction)) ** 0.5


def test_the_seed_and_the_kind_of_value_count() -> None:
    assert key_hash(0, ["a"]) != key_hash(1, ["a"])
    assert key_hash(0, ["1"]) != key_hash(0, [1])
    assert key_hash(0, ["a", "b"]) != key_hash(0, ["ab"])


def test_the_hash_does_not_change_between_versions() -> None:
    assert key_hash(0, ["What is DuckDB?"]) == 8159727373224026149


MESSAGE = st.fixed_dictionaries(
    {"role": st.text(), "content": st.text() | st.none()}, optional={"x": st.text()}
)


@given(st.lists(st.text() | st.lists(MESSAGE, max_size=3), min_size=1, max_size=4), st.integers(0, 2**32))
def test_the_short_way_for_texts_and_messages_gives_the_same_hash(values: list[Any], seed: int) -> None:
    text = json.dumps([seed, values], ensure_ascii=True, sort_keys=True, default=str)
    assert key_hash(seed, values) == int.from_bytes(sha256(text.encode()).digest()[:8], "big")


@given(hashes, st.integers(0, 250))
def test_the_smallest_are_exactly_as_many(rows: list[int], count: int) -> None:
    chosen = smallest(numbers(rows), count)
    assert chosen.sum() == min(count, len(rows))
    taken = sorted(hash_ for hash_, one in zip(rows, chosen, strict=True) if one)
    assert taken == sorted(rows)[: len(taken)]


@given(few, fractions)
@settings(deadline=None)
def test_each_value_is_held_out_in_proportion(rows: list[tuple[int, int]], fraction: float) -> None:
    keys, strata = [key for key, _ in rows], [stratum for _, stratum in rows]
    held = stratified(split(fraction=fraction, stratify="s"), numbers(keys), numbers(strata)).tolist()
    by_key = {key: {out for other, out in zip(keys, held, strict=True) if other == key} for key in keys}
    assert all(len(sides) == 1 for sides in by_key.values()), "a key is on both sides"
    home: dict[int, int] = {}
    for key, stratum in rows:
        home.setdefault(key, stratum)
    for stratum in set(home.values()):
        groups = [key for key in home if home[key] == stratum]
        out = [key for key in groups if by_key[key] == {True}]
        sizes = Counter(key for key in keys if home[key] == stratum)
        if len(groups) == 1:
            assert not out
            continue
        assert 1 <= len(out) < len(groups)
        assert set(out) == set(sorted(groups)[: len(out)]), "not the smallest hashes"
        wanted = max(1, min(int(fraction * sizes.total() + 0.5), sizes.total() - 1))
        assert len(out) == len(groups) - 1 or sum(sizes[key] for key in out) >= wanted
        assert len(out) == 1 or sum(sizes[key] for key in out) - sizes[max(out)] < wanted + 1


@given(st.dictionaries(st.integers(0, 8), st.integers(2, 60), min_size=1), st.integers(1, 200), st.randoms())
@settings(deadline=None)
def test_a_number_of_rows_is_shared_out_exactly(sizes: dict[int, int], wanted: int, random: Any) -> None:
    strata = [stratum for stratum, size in sizes.items() for _ in range(size)]
    keys = random.sample(range(10**9), len(strata))
    held = stratified(split(rows=wanted, stratify="s"), numbers(keys), numbers(strata))
    most = sum(size - 1 for size in sizes.values())
    assert held.sum() == min(wanted, most)
    found = Counter(stratum for stratum, out in zip(strata, held.tolist(), strict=True) if out)
    if wanted >= len(sizes):
        assert all(found[stratum] >= 1 for stratum in sizes)
    ideal = {stratum: wanted * size / len(strata) for stratum, size in sizes.items()}
    inner = [s for s in sizes if 1 <= ideal[s] <= sizes[s] - 1]
    if len(inner) == len(sizes) and wanted <= most:
        assert all(abs(found[s] - ideal[s]) < 1 + 1e-9 for s in sizes)


@given(few, fractions, st.randoms())
@settings(deadline=None)
def test_strata_do_not_depend_on_the_order_of_rows(
    rows: list[tuple[int, int]], fraction: float, random: Any
) -> None:
    home: dict[int, int] = {}
    pure = [(key, home.setdefault(key, stratum)) for key, stratum in rows]
    mixed = random.sample(pure, len(pure))

    def held(some: list[tuple[int, int]]) -> set[int]:
        step = split(fraction=fraction, stratify="s")
        found = stratified(step, numbers([k for k, _ in some]), numbers([s for _, s in some]))
        return {key for (key, _), out in zip(some, found.tolist(), strict=True) if out}

    assert held(pure) == held(mixed)
