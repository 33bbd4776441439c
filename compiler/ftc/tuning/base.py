"""What a tuning method declares: its options in the recipe, and how they become a step of the plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftc.recipe.base import Table

if TYPE_CHECKING:
    from ftc.plan.steps import TuneStep
    from ftc.tuning.modules import Modules


class Options(Table):
    """The recipe's `[tune]` table under some method."""

    method: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Why options cannot be used with a model: at the setting `key` under `[tune]`, with what to write.

    `unknown` is a name that the model does not have.
    """

    code: str
    key: tuple[str | int, ...]
    message: str
    help: tuple[str, ...] = ()
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class Defaulted:
    """A value that the method picked for a setting under `[tune]` that the recipe leaves open, and why."""

    key: str
    value: Any
    reason: str


def _nothing_picked(_options: Any, _step: TuneStep) -> tuple[Defaulted, ...]:
    return ()


def _no_problem(_options: Any, _modules: Modules) -> tuple[Problem, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Method:
    """A row of the methods' table.

    `options` is the type of the recipe's `[tune]` table under this method. `lower` resolves it to the step,
    on a model whose modules are known or None, and `count` says how many numbers train under that step.
    `learning_rate` is the default, with the reason that the plan prints; `defaults` are the other values
    picked, `problems` what of the options does not fit the model.

    An `adapter` leaves the base as it is. `merges` says whether it can be added to the base's weights, and
    `packs` whether its rows may train packed; `recomputes` whether with gradient checkpointing. One that
    `adds_tokens` trains the rows of new tokens beside its adapters.
    """

    name: str
    title: str
    options: type[Options]
    lower: Callable[[Any, Modules | None], TuneStep]
    count: Callable[[TuneStep, Modules], int]
    learning_rate: float
    learning_rate_reason: str
    defaults: Callable[[Any, TuneStep], tuple[Defaulted, ...]] = _nothing_picked
    problems: Callable[[Any, Modules], tuple[Problem, ...]] = _no_problem
    adapter: bool = True
    merges: bool = True
    packs: bool = True
    recomputes: bool = True
    quantises: bool = False
    adds_tokens: bool = False
