"""Work of one kind: passes through a model, their tokens and their operations."""

from __future__ import annotations

from dataclasses import dataclass

from ftc.estimate.batches import written
from ftc.estimate.flops import NO_OPERATIONS, Amounts, Operations


@dataclass(frozen=True, slots=True)
class Work:
    """Passes of one kind through a model: how many, their tokens (padding included), their operations."""

    calls: float = 0.0
    tokens: float = 0.0
    operations: Operations = NO_OPERATIONS

    @property
    def flops(self) -> float:
        """Floating-point operations of all parts."""
        return self.operations.total

    def plus(self, other: Work) -> Work:
        """Both together."""
        return Work(
            self.calls + other.calls, self.tokens + other.tokens, self.operations.plus(other.operations)
        )

    def scaled(self, factor: float) -> Work:
        """So many times this."""
        return Work(self.calls * factor, self.tokens * factor, self.operations.scaled(factor))


NO_WORK = Work()


def answered(rows: float, prompt: float, count: int, first: Amounts, forward: Operations) -> Work:
    """A prompt that is read, which gives the first token, and the passes that write the others."""
    amounts = first.plus(written(rows, prompt, count - 1))
    return Work(float(count), amounts.tokens, forward.of(amounts))


def rewritten(rows: float, prompt: float, count: int, forward: Operations) -> Work:
    """Tokens written one after another without a cache: each by a pass over all that is before it."""
    tokens = count * prompt + count * (count - 1) / 2
    squares = count * prompt**2 + prompt * count * (count - 1) + (count - 1) * count * (2 * count - 1) / 6
    amounts = Amounts(rows * tokens, rows * squares, rows * count)
    return Work(float(count), amounts.tokens, forward.of(amounts))
