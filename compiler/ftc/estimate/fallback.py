"""Steps that the closed form has no account of, told by an abstract run of whoever is at hand to do that.

This module says what is asked and answered; `launch/abstract_runs.py` starts the process that answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated, Protocol, TypeVar

from pydantic import Strict

from ftc.estimate.architecture import InexpressibleError
from ftc.estimate.step import TrainingStep
from ftc.recipe.base import Frozen

Told = TypeVar("Told")


class Phase(Frozen):
    """The most bytes in a phase of a step, and what they are for."""

    bytes: int
    categories: Mapping[str, int]


class Peaks(Frozen):
    """The memory of a step that ran abstractly: its peak in `bytes`, in `phase`, by which `packages`."""

    bytes: int
    phase: str
    phases: Mapping[str, Phase]
    segments: Mapping[str, int]
    traced_layers: Annotated[tuple[int, ...], Strict(strict=False)]
    packages: Mapping[str, str]


class Products(Frozen):
    """Matrix products of a pass, in operations for each token, pair of tokens and position with logits."""

    token: float
    pair: float
    position: float


class Counts(Frozen):
    """What a step computes, and what a pass of it reads and leaves.

    `weights` are the bytes of all weights, of which `base` are not adapters'; `trained` the numbers that
    train, `cache` the bytes of keys and values that a token leaves.
    """

    forward: Products
    backward: Products
    recomputation: Products
    weights: float
    base: float
    trained: float
    cache: float
    layers: int
    hidden: int


class Runs(Protocol):
    """Whoever runs steps abstractly. Both raise InexpressibleError for what cannot run so."""

    def peaks(self, step: TrainingStep) -> Peaks:
        """The memory of a step."""

    def counts(self, step: TrainingStep) -> Counts:
        """The operations of a step, whose batch and evaluation are left aside."""


_AT_HAND: ContextVar[Runs | None] = ContextVar("abstract_runs", default=None)


@contextmanager
def at_hand(runs: Runs | None) -> Iterator[None]:
    """Within, steps that the closed form has no account of are run by `runs`; with None they are refused."""
    token = _AT_HAND.set(runs)
    try:
        yield
    finally:
        _AT_HAND.reset(token)


def runs_at_hand() -> Runs:
    """Whoever runs steps abstractly here. Raises InexpressibleError where nobody does."""
    runs = _AT_HAND.get()
    if runs is None:
        raise InexpressibleError("nobody is at hand to run it abstractly")
    return runs


def told(
    plain: Callable[[TrainingStep], Told], ran: Callable[[Runs, TrainingStep], Told], step: TrainingStep
) -> Told:
    """What the closed form says or, where it has no account of the step, what an abstract run does.

    Raises InexpressibleError where neither does.
    """
    try:
        return plain(step)
    except InexpressibleError:
        runs = _AT_HAND.get()
        if runs is None:
            raise
        return ran(runs, step)
