"""Near duplicates by n-grams against comparing every pair by hand."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftc.lints import overlap
from ftc.lints.evidence import TokenRows
from ftc.lints.ngrams import (
    BITS,
    QUICK_BITS,
    N,
    begins,
    distinct,
    hashes,
    hashes_at,
    ordered,
    quick,
    share_of,
)
from ftc.lints.overlap import COMMON, COMMON_ROWS, LEAST_GRAMS, overlapping, prompt_grams

SHARE = 0.8
Row = list[int]


def batches(rows: list[Row], size: int = 3) -> Iterator[TokenRows]:
    left = iter(rows)
    while some := list(islice(left, size)):
        flat = np.array([token for row in some for token in row], dtype=np.int32)
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in some])])
        yield TokenRows(flat, offsets, np.full(len(some), -1, dtype=np.int32))


def grams(row: Row) -> set[tuple[int, ...]]:
    return {tuple(row[at : at + N]) for at in range(len(row) - N + 1)}


def by_hand(prompts: list[Row], trained: list[Row]) -> dict[int, int]:
    """The first training row that has most of a prompt's uncommon n-grams."""
    everything = [grams(row) for row in prompts] + [grams(row) for row in trained]
    most = max(COMMON_ROWS, COMMON * len(everything))
    found = {}
    for number, prompt in enumerate(prompts):
        rare = {one for one in grams(prompt) if sum(one in other for other in everything) <= most}
        if len(rare) < LEAST_GRAMS:
            continue
        for row, known in enumerate(trained):
            if len(rare & grams(known)) / len(rare) >= SHARE:
                found[number] = row
                break
    return found


def found(prompts: list[Row], trained: list[Row]) -> dict[int, int]:
    number = np.arange(len(prompts))
    made, sampled = prompt_grams(batches(prompts), number, sum(map(len, prompts)))
    assert not sampled
    return {one: match.row for one, match in overlapping(made, len(prompts), batches(trained), SHARE).items()}


BASE = st.lists(st.integers(0, 30), min_size=0, max_size=40)


@st.composite
def near(draw: st.DrawFn) -> tuple[list[Row], list[Row]]:
    """Rows that share stretches, some of them nearly the same."""
    bases = draw(st.lists(BASE, min_size=1, max_size=5))

    def changed() -> Row:
        row = list(draw(st.sampled_from(bases)))
        for _ in range(draw(st.integers(0, 3))):
            at = draw(st.integers(0, len(row)))
            row[at : at + draw(st.integers(0, 2))] = [draw(st.integers(0, 40))]
        return row

    return [changed() for _ in range(draw(st.integers(1, 8)))], [
        changed() for _ in range(draw(st.integers(1, 12)))
    ]


@settings(deadline=None)
@given(near())
def test_as_by_hand(rows: tuple[list[Row], list[Row]]) -> None:
    prompts, trained = rows
    assert found(prompts, trained) == by_hand(prompts, trained)


@settings(deadline=None)
@given(near())
def test_as_by_hand_in_many_chunks(rows: tuple[list[Row], list[Row]]) -> None:
    prompts, trained = rows
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlap, "_uncommon", lambda grams, count, _: _all_known(grams, count, trained))
        one = found(prompts, trained)
        patch.setattr(overlap, "TOKENS", 10)
        assert found(prompts, trained) == one


def _all_known(made: object, prompts: int, trained: list[Row]) -> object:
    from ftc.lints.ngrams import Grams

    assert isinstance(made, Grams)
    (batch,) = batches(trained, len(trained))
    chunk = overlap._Chunk(0, batch.tokens, batch.offsets)
    return UNCOMMON(made, prompts, chunk)


UNCOMMON = overlap._uncommon


def test_many_n_grams_are_sampled_and_near_duplicates_still_found(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    trained = [rng.integers(0, 1000, 400).tolist() for _ in range(30)]
    prompts = [trained[n][20:380] for n in (3, 7, 11)] + [
        rng.integers(0, 1000, 360).tolist() for _ in range(3)
    ]
    monkeypatch.setattr(overlap, "MOST_GRAMS", 600)
    made, sampled = prompt_grams(batches(prompts), np.arange(6), sum(map(len, prompts)))
    assert sampled
    assert 300 < len(made.hashes) < 1200
    matches = overlapping(made, 6, batches(trained), SHARE)
    assert {one: match.row for one, match in matches.items()} == {0: 3, 1: 7, 2: 11}


@settings(deadline=None)
@given(st.lists(BASE, min_size=1, max_size=6))
def test_equal_n_grams_have_equal_hashes_and_others_have_others(rows: list[Row]) -> None:
    (batch,) = batches(rows, len(rows))
    at, numbers = begins(batch.offsets, batch.offsets[1:])
    flat = batch.tokens.tolist()
    byte_hash = {tuple(flat[a : a + N]): int(h) for a, h in zip(at, hashes(batch.tokens)[at], strict=True)}
    assert len(set(byte_hash.values())) == len(byte_hash)
    assert len(distinct(numbers, hashes(batch.tokens)[at]).hashes) == sum(len(grams(row)) for row in rows)


@given(st.lists(st.integers(0, 2**31 - 1), max_size=30), st.data())
def test_a_hash_begins_with_the_quick_one_wherever_it_is_made(tokens: Row, data: st.DataObject) -> None:
    made = np.array(tokens, dtype=np.int32)
    upper = quick(made) >> np.uint32(32 - QUICK_BITS)
    assert (hashes(made) >> np.uint64(BITS - QUICK_BITS)).tolist() == upper.tolist()
    assert not (hashes(made) >> np.uint64(BITS)).any()
    places = data.draw(st.lists(st.integers(0, len(upper) - 1))) if len(upper) else []
    at = np.array(places, dtype=np.int64)
    assert hashes_at(made, at).tolist() == hashes(made)[at].tolist()


@settings(deadline=None)
@given(near())
def test_as_by_hand_in_many_blocks(rows: tuple[list[Row], list[Row]]) -> None:
    prompts, trained = rows
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlap, "BLOCK", 3)
        assert found(prompts, trained) == by_hand(prompts, trained)


@settings(deadline=None)
@given(st.sets(st.integers(0, 50), min_size=1), st.lists(st.integers(0, 50), min_size=1))
def test_the_share_of_some_among_others(wanted: set[int], known: list[int]) -> None:
    some = ordered(np.array(list(wanted), dtype=np.uint64))
    share = share_of(some, np.array(known, dtype=np.uint64))
    assert share == pytest.approx(len(wanted & set(known)) / len(wanted))
