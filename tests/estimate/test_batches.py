"""Batches by their lengths alone: expectations against enumeration, counts against the Trainer's rules."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftc.estimate.batches import (
    LABEL_ROWS,
    LOGITS,
    Heldout,
    Lengths,
    by_length,
    label_passes,
    losses,
    micro_batches,
    written,
)
from ftc.estimate.flops import Amounts, Attends
from ftc.plan.steps import TrainStep
from ftc.runtime import heldout, score

ROWS = st.lists(st.integers(1, 60), min_size=3, max_size=9)


def train(steps: int, micro: int, accumulation: int = 1, **arguments: Any) -> TrainStep:
    return TrainStep(
        steps=steps,
        epochs=1.0,
        batch=micro * accumulation,
        micro_batch=micro,
        accumulation=accumulation,
        save_every=steps,
        arguments=arguments,
    )


def of(rows: list[int], *sequences: int) -> Lengths:
    return Lengths(np.array(rows), np.array(sequences) if sequences else None)


@given(ROWS, st.integers(2, 3))
def test_padding_is_that_of_all_choices_of_rows(rows: list[int], micro: int) -> None:
    """One step of one full micro-batch, against every set of rows that it could be."""
    chosen = list(combinations(rows, micro))
    found = micro_batches(train(1, micro), of(rows), "eager")
    tops = [max(some) for some in chosen]
    assert found.calls == 1
    assert found.amounts.tokens == pytest.approx(micro * np.mean(tops))
    assert found.amounts.pairs == pytest.approx(micro * np.mean(np.square(tops)))
    assert found.amounts.positions == pytest.approx(micro * (np.mean(tops) - 1))
    assert found.spread * found.amounts.tokens == pytest.approx(micro * np.std(tops), abs=1e-3)


@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 4), st.integers(1, 30))
def test_micro_batches_are_counted_as_the_trainer_makes_them(
    count: int, micro: int, accumulation: int, steps: int
) -> None:
    """Against a loop: passes over the rows, in micro-batches, in steps; a pass ends with a shorter step."""
    made: list[int] = []
    done = 0
    while done < steps:
        sizes = [min(micro, count - at) for at in range(0, count, micro)]
        for at in range(0, len(sizes), accumulation):
            if done < steps:
                made += sizes[at : at + accumulation]
                done += 1
    found = micro_batches(train(steps, micro, accumulation), of([7] * count), "flash")
    assert found.calls == len(made)
    assert found.amounts.tokens == pytest.approx(7 * sum(made))
    assert found.spread == pytest.approx(0, abs=1e-6)


def test_samplers_that_sort_pad_less() -> None:
    rows = of([4, 20, 5, 21, 6, 22])
    strategies = ("sequential", "group_by_length", "random")
    tokens = [
        micro_batches(train(3, 2, train_sampling_strategy=strategy), rows, "eager").amounts.tokens
        for strategy in strategies
    ]
    assert tokens[0] == 2 * (20 + 21 + 22)
    assert tokens[1] == 2 * (5 + 20 + 22)
    assert tokens[1] < tokens[2] < tokens[0]


def test_packed_sequences_have_no_padding() -> None:
    rows = of([3, 5, 2, 6, 4], 2, 2, 1)
    dense = micro_batches(train(3, 1), rows, "efficient")
    assert dense.amounts == Amounts(20, 8**2 + 8**2 + 4**2, 20 - 3)
    told = micro_batches(train(3, 1), rows, "flash_attention_2")
    assert told.amounts.pairs == pytest.approx((9 + 25 + 4 + 36 + 16) / 2)
    both = micro_batches(train(1, 2), rows, "efficient")
    assert both.amounts.pairs == pytest.approx(np.mean([16**2, 12**2, 12**2]))


def test_the_limits_are_those_of_the_runtime() -> None:
    assert LOGITS == heldout.LOGITS
    assert LABEL_ROWS == score.LABEL_ROWS


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 8))
def test_evaluation_takes_each_row_once_by_length(lengths: list[int], size: int) -> None:
    numbers = np.arange(len(lengths))
    batches = list(by_length(numbers, np.array(lengths), size, LOGITS // 40))
    assert sorted(int(row) for batch in batches for row in batch.rows) == numbers.tolist()
    assert [batch.longest for batch in batches] == sorted(batch.longest for batch in batches)
    assert all(len(batch.rows) == 1 or batch.longest <= 40 for batch in batches)


def test_losses_need_logits_from_the_first_that_counts_to_the_last() -> None:
    held = Heldout(np.array([4, 6]), np.array([2, 3]), np.array([2, 3]), np.array([4, 6]))
    batches = list(by_length(np.arange(2), held.lengths, 8, 10))
    found = losses(held, batches, Attends.of("efficient", masked=True))
    assert found == Amounts(2 * 6, 2 * 36, 2 * 4)
    assert held.answers.tolist() == [2, 3]


def test_a_written_token_looks_at_all_before_it() -> None:
    assert written(2, 3, 2) == Amounts(4, 2 * ((3 + 1) + (3 + 2)), 4)
    assert written(2, 3, 0) == Amounts(0, 0, 0)


def test_labels_of_one_token_need_no_pass_of_their_own() -> None:
    assert label_passes(4, 10, (1, 1)) == []
    assert label_passes(4, 10, (2, 3)) == [Amounts(4 * 2 * 2, 4 * 2 * 2 * 12, 4 * 2 * 2)]
    assert len(label_passes(LABEL_ROWS, 10, (2, 3))) == 2
