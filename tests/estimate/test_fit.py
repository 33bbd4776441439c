"""The largest micro-batch and the longest row that fit: laws of the search; what decides checkpointing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimate.closed_steps import step
from ftc.estimate.closed_form import estimate
from ftc.estimate.device import on_device
from ftc.estimate.fit import (
    GRAIN,
    PROCESS,
    USABLE,
    Fit,
    Need,
    Question,
    fit,
    gib,
    largest,
    longest,
    needed,
    rate,
    room,
    speed,
    verdict,
)
from ftc.estimate.step import Batch

batches = st.integers(1, 512)
bytes_ = st.integers(1, 10**6)
flags = st.sampled_from([True, False, None])


def affine(base: int, row: int, saved: float) -> Need:
    """A step that takes `base` bytes, and `row` for each row, or a part of that with checkpointing."""
    return lambda rows, again: base + int(rows * row * (saved if again else 1))


needs = st.builds(affine, bytes_, bytes_, st.floats(0, 1))
questions = st.builds(
    Question, batches, st.integers(1, 10**7), st.floats(1, 10**4), st.sampled_from([4 / 3, 3 / 2])
)


@given(needs, questions, flags)
def test_what_is_chosen_fits_and_divides_the_batch(
    need: Need, asked: Question, checkpointing: bool | None
) -> None:
    found = fit(need, asked, checkpointing)
    if found is None:
        assert need(1, checkpointing is not False) > asked.limit
        return
    assert need(found.micro_batch, found.checkpointing) <= asked.limit
    assert asked.batch % found.micro_batch == 0
    assert checkpointing in (None, found.checkpointing)


@given(needs, questions, flags)
def test_the_next_divisor_does_not_fit(need: Need, asked: Question, checkpointing: bool | None) -> None:
    found = fit(need, asked, checkpointing)
    if found is not None:
        more = [rows for rows in range(found.micro_batch + 1, asked.batch + 1) if asked.batch % rows == 0]
        assert not more or need(more[0], found.checkpointing) > asked.limit


@given(needs, questions, st.booleans(), st.integers(0, 10**7))
def test_more_memory_never_gives_a_smaller_micro_batch(
    need: Need, asked: Question, checkpointing: bool, more: int
) -> None:
    richer = Question(asked.batch, asked.limit + more, asked.tokens, asked.recomputed)
    first, second = fit(need, asked, checkpointing), fit(need, richer, checkpointing)
    assert (first.micro_batch if first else 0) <= (second.micro_batch if second else 0)


@given(needs, questions, st.integers(0, 10**7))
def test_more_memory_never_gives_a_slower_choice(need: Need, asked: Question, more: int) -> None:
    richer = Question(asked.batch, asked.limit + more, asked.tokens, asked.recomputed)
    first, second = fit(need, asked, None), fit(need, richer, None)
    assert first is None or second is not None
    if first is None or second is None:
        return
    if second.micro_batch == asked.batch and not second.checkpointing:
        return  # nothing is better than the whole batch without recomputation
    enough = not second.checkpointing and speed(second.micro_batch * asked.tokens) >= 1 / asked.recomputed
    assert enough or rate(first, asked) <= rate(second, asked)


@given(bytes_, bytes_, st.integers(1, 10**5), st.integers(1, 10**9))
def test_the_longest_row_fits_and_the_next_does_not(base: int, token: int, most: int, limit: int) -> None:
    def need(length: int) -> int:
        return base + token * length

    found = longest(need, most, limit)
    if found is None:
        assert need(min(GRAIN, most)) > limit
        return
    assert need(found) <= limit
    assert found == most or (found % GRAIN == 0 and need(min(found + GRAIN, most)) > limit)


@given(batches, st.integers(0, 600))
def test_the_largest_divisor_is_found_by_few_trials(batch: int, most: int) -> None:
    tried = []

    def need(rows: int) -> int:
        tried.append(rows)
        return rows

    divisors = [rows for rows in range(1, batch + 1) if batch % rows == 0]
    assert largest(need, batch, most) == max((rows for rows in divisors if rows <= most), default=None)
    assert len(tried) <= len(divisors).bit_length()


def test_checkpointing_is_taken_where_it_makes_training_faster() -> None:
    need = affine(10, 10, 0.1)

    def chosen(limit: int, tokens: float) -> Fit | None:
        return fit(need, Question(16, limit, tokens), None)

    assert chosen(170, 100) == Fit(16, False)  # the whole batch fits
    assert chosen(20, 2048) == Fit(1, False)  # a row of 2,048 tokens keeps the device busy
    assert chosen(26, 50) == Fit(16, True)  # rows are short: 16 at a time make up for computing twice
    assert chosen(12, 2048) == Fit(2, True)  # not one row fits without
    assert chosen(10, 2048) is None


def test_a_device_is_as_busy_as_was_published() -> None:
    assert speed(256) / speed(1024) == pytest.approx(0.16 / 0.27, rel=0.01)


def test_what_is_compared_is_what_the_process_must_have() -> None:
    cuda = step("llama", "lora", "none", (2, 1024))
    found = needed(cuda)
    allocated = on_device(cuda, estimate(cuda)).allocated
    assert found.allocated == allocated
    assert 140 << 20 < found.bytes - allocated < 550 << 20
    cpu = cuda.model_copy(update={"backend": "cpu", "attention": "flash"})
    assert needed(cpu).bytes == estimate(cpu).peak + PROCESS
    named = cuda.model_copy(update={"device": "H100-80GB-SXM"})
    assert needed(named).estimate is found.estimate
    assert needed(named).allocated > found.allocated  # larger workspaces


def test_verdicts_leave_the_headroom() -> None:
    memory = 1000
    assert room(memory, 0.1) == int(USABLE * 900)
    assert [verdict(size, memory) for size in (855, 856, 950, 951)] == ["fits", "tight", "tight", "no"]
    assert verdict(900, memory, 0.05) == "fits"
    assert verdict(600, memory, 0.5) == "tight"


def test_bytes_in_words() -> None:
    assert (gib(17.24 * 2**30), gib(300 << 20)) == ("17.2 GiB", "300 MiB")


def test_a_real_step_is_fitted() -> None:
    def need(rows: int, again: bool) -> int:
        kind = "non-reentrant" if again else "none"
        of = step("llama", "lora", kind, (1, 1024))
        return needed(of.model_copy(update={"batch": Batch(rows=rows, length=1024)})).bytes

    limit = room(int(14.6 * 2**30))
    found = fit(need, Question(32, limit, 1024.0, 1.5), False)
    assert found is not None
    assert need(found.micro_batch, False) <= limit < need(found.micro_batch * 2, False)


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
def test_a_loss_that_needs_several_rows_gets_them_or_nothing(limit: int) -> None:
    found = largest(lambda rows: rows, 12, limit, least=2)
    assert found == {1: None, 2: 2, 5: 4, 100: 12}[limit]
