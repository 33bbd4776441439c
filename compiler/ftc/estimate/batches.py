"""The batches that rows of known lengths come in: training's in expectation, evaluation's as they are.

transformers' Trainer draws training rows in a random order, so a micro-batch is a random choice of rows, and
what it is padded to the longest of them: its expected value follows from the order statistics of a sample
without replacement (P(longest is the i-th of n) = C(i-1, m-1) / C(n, m)). Evaluation goes by length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftc.estimate.flops import Amounts, Attends

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ftc.plan.steps import TrainStep

    Integers = NDArray[np.int64]

LOGITS = 2**28
"""Numbers in the logits of one batch of held-out rows at most (`runtime/evaluate.py`)."""

LABEL_ROWS = 256
"""Rows at a time when a batch of prompts is tried with many labels (`runtime/score.py`)."""


@dataclass(frozen=True, slots=True)
class Heldout:
    """Of each held-out row its tokens, those of its prompt (0 without an answer), and where its loss lies.

    Tokens from `first` up to, but not, `end` carry loss, or lie between such.
    """

    lengths: Integers
    prompts: Integers
    first: Integers
    end: Integers

    @property
    def answers(self) -> Integers:
        """Tokens of each row's answer, its end token included; 0 where there is none."""
        found: Integers = (self.end - self.prompts) * (self.prompts > 0)
        return found.clip(min=0)

    def longer(self, more: int) -> Heldout:
        """The rows with so many tokens before each."""
        if not more:
            return self
        prompts = self.prompts + more * (self.prompts > 0)
        return Heldout(self.lengths + more, prompts, self.first + more, self.end + more)


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of each row of a pass over the training rows, a repeated one as often as it is used.

    `sequences` has the number of rows of each packed sequence, which then follow each other in `rows`; None
    where rows train one by one. `labels` are the tokens of each label that is tried.
    """

    rows: Integers
    sequences: Integers | None = None
    heldout: Heldout | None = None
    labels: tuple[int, ...] = ()

    @property
    def tokens(self) -> int:
        """Tokens of one pass, padding aside."""
        return int(self.rows.sum())

    @property
    def units(self) -> int:
        """What a batch counts: rows, or sequences of them."""
        return len(self.rows if self.sequences is None else self.sequences)


@dataclass(frozen=True, slots=True)
class MicroBatches:
    """All micro-batches of a training: how many, what goes through the model, and how that is known.

    `spread` is the standard deviation of the tokens in all of them, as a part of them.
    """

    calls: int
    amounts: Amounts
    spread: float
    basis: str


def micro_batches(train: TrainStep, lengths: Lengths, kernel: str, *, members: int = 1) -> MicroBatches:
    """What a training's micro-batches put through the model, logits of every position but each row's last.

    Of rows with several `members` each is padded to the longest of all, and rows are as long as that.
    """
    if lengths.sequences is not None:
        return _packed(train, lengths, kernel)
    count, size = len(lengths.rows), train.micro_batch
    ordered = _ordered(lengths.rows, train.arguments.get("train_sampling_strategy"))
    padded = members > 1 or (size > 1 and int(lengths.rows.min()) < int(lengths.rows.max()))
    attends = Attends.of(kernel, masked=padded)
    squares = float((lengths.rows.astype(float) ** 2).sum())

    def of(rows: int, longest: float, longest_squared: float) -> Amounts:
        whole = rows * longest_squared if attends.padding else rows / count * squares
        each = Amounts(rows * longest, whole if attends.later else whole / 2, rows * (longest - 1))
        return each.scaled(members)

    total, calls, variance = Amounts(0, 0, 0), 0, 0.0
    for rows, times in _sizes(train, count):
        mean, squared = ordered.longest(rows)
        total = total.plus(of(rows, mean, squared).scaled(times))
        variance += times * (rows * members) ** 2 * max(0.0, squared - mean**2) * ordered.random
        calls += times
    return MicroBatches(calls, total, variance**0.5 / max(total.tokens, 1), ordered.basis)


def expected_longest(train: TrainStep, lengths: Lengths, rows: int) -> tuple[float, float]:
    """Mean length of the longest of so many rows that stand together, and of its square."""
    ordered = _ordered(lengths.rows, train.arguments.get("train_sampling_strategy"))
    return ordered.longest(min(rows, len(lengths.rows)))


def _sizes(train: TrainStep, count: int) -> list[tuple[int, int]]:
    """Sizes of micro-batches and how many there are of each; the last of a pass has what is left.

    As transformers' Trainer counts: a pass ends with a step of fewer micro-batches where they do not divide.
    """
    each, left = divmod(count, train.micro_batch)
    in_pass = each + (left > 0)
    steps_in_pass = -(-in_pass // train.accumulation)
    passes, more = divmod(train.steps, steps_in_pass)
    some = min(more * train.accumulation, in_pass)
    whole = passes * each + min(some, each)
    return (
        [(train.micro_batch, whole), (left, passes + max(0, some - each))]
        if left
        else [(train.micro_batch, whole)]
    )


@dataclass(frozen=True, slots=True)
class _Order:
    """Rows in the order that decides what stands together: by length, or as they come."""

    lengths: Integers
    random: bool
    basis: str

    def longest(self, rows: int) -> tuple[float, float]:
        """Mean of the longest row among so many, and of its square."""
        import numpy as np

        values = self.lengths.astype(float)
        if not self.random:
            starts = np.arange(0, len(values) - rows + 1, rows)
            tops = np.maximum.reduceat(values[: len(starts) * rows], starts)
            return float(tops.mean()), float((tops**2).mean())
        chances = _chances(len(values), rows)
        tail = values[len(values) - len(chances) :][::-1]
        return float(chances @ tail), float(chances @ tail**2)


def _ordered(rows: Integers, strategy: object) -> _Order:
    """The rows as the sampler of that name draws them."""
    import numpy as np

    if strategy == "sequential":
        return _Order(rows, random=False, basis="padding of the rows in their own order")
    if strategy == "group_by_length":
        return _Order(np.sort(rows), random=False, basis="padding as if all rows were sorted by length")
    basis = "padding in expectation over the sampler's random orders"
    return _Order(np.sort(rows), random=True, basis=basis)


def _chances(count: int, rows: int) -> NDArray[np.float64]:
    """Chances that the longest of `rows` drawn from `count` is the longest of all, the second, and so on."""
    import numpy as np

    places = np.arange(count, rows, -1, dtype=float)
    ratios = (places - rows) / (places - 1)
    chances: NDArray[np.float64] = rows / count * np.concatenate([[1.0], np.cumprod(ratios)])
    return chances


def _packed(train: TrainStep, lengths: Lengths, kernel: str) -> MicroBatches:
    """Micro-batches of packed sequences: end to end in one row, without padding."""
    import numpy as np

    assert lengths.sequences is not None  # noqa: S101 - the caller has looked
    ends = np.cumsum(lengths.sequences)
    before = np.concatenate([[0], np.cumsum(lengths.rows)])
    tokens = (before[ends] - before[ends - lengths.sequences]).astype(float)
    squares = float((lengths.rows.astype(float) ** 2).sum())
    attends, count = Attends.of(kernel, masked=True), len(tokens)
    apart = (tokens.sum() ** 2 - (tokens**2).sum()) / max(count * (count - 1), 1)
    total, calls, variance = Amounts(0, 0, 0), 0, 0.0
    for size, times in _sizes(train, count):
        mean = size * float(tokens.mean())
        whole = size * float((tokens**2).mean()) + size * (size - 1) * apart
        compared = whole if attends.others else size / count * squares
        compared = compared if attends.later else compared / 2
        total = total.plus(Amounts(mean, compared, mean - 1).scaled(times))
        variance += times * size * float(tokens.var())
        calls += times
    basis = "packed sequences as they are laid out"
    return MicroBatches(calls, total, variance**0.5 / max(total.tokens, 1), basis)


@dataclass(frozen=True, slots=True)
class EvaluationBatch:
    """A batch of held-out rows: their numbers, and the longest of them in tokens."""

    rows: Integers
    longest: int


def by_length(numbers: Integers, lengths: Integers, size: int, vocabulary: int) -> Iterator[EvaluationBatch]:
    """The evaluation's batches: rows of like lengths together, the shortest first (`Evaluator._batches`)."""
    import numpy as np

    order = numbers[np.lexsort((numbers, lengths[numbers]))]
    done = 0
    while done < len(order):
        batch = order[done : done + size]
        fitting = LOGITS // (vocabulary * max(int(lengths[batch[-1]]), 1))
        batch = batch[: max(1, fitting)]
        yield EvaluationBatch(batch, int(lengths[batch].max()))
        done += len(batch)


def losses(heldout: Heldout, batches: list[EvaluationBatch], attends: Attends) -> Amounts:
    """What the losses of these batches take: logits of the columns between the first loss and the last."""
    total = Amounts(0, 0, 0)
    for batch in batches:
        rows, first, end = len(batch.rows), heldout.first[batch.rows], heldout.end[batch.rows]
        carrying = end > first
        columns = int(end[carrying].max() - first[carrying].min()) if carrying.any() else 0
        each = attends.pairs([batch.longest] * rows, padded_to=batch.longest)
        total = total.plus(Amounts(rows * batch.longest, each, rows * columns))
    return total


def prompts(batches: list[EvaluationBatch], attends: Attends) -> Amounts:
    """What reading the prompts of these batches takes: logits of the last position alone."""
    total = Amounts(0, 0, 0)
    for batch in batches:
        rows = len(batch.rows)
        each = attends.pairs([batch.longest] * rows, padded_to=batch.longest)
        total = total.plus(Amounts(rows * batch.longest, each, rows))
    return total


def written(rows: float, prompt: float, count: int) -> Amounts:
    """What `count` more tokens of each row take, one after another: each looks at all before it."""
    if count <= 0:
        return Amounts(0, 0, 0)
    compared = rows * (count * prompt + count * (count + 1) / 2)
    return Amounts(rows * count, compared, rows * count)


def label_passes(rows: int, prompt: int, labels: tuple[int, ...]) -> list[Amounts]:
    """What trying labels after prompts takes, a pass a chunk of labels (`score.label_scores`)."""
    at_once = max(1, LABEL_ROWS // rows)
    chunks = [labels[start : start + at_once] for start in range(0, len(labels), at_once)]
    inner = [(len(chunk), max(chunk) - 1) for chunk in chunks]
    return [
        Amounts(rows * count * length, rows * count * length * (prompt + length), rows * count * length)
        for count, length in inner
        if length > 0
    ]
