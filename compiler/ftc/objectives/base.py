"""What an objective declares: the columns it wants, its options, and how they become its trainer's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import JsonValue

from ftc.recipe.base import Table

Metric = str
TrainOn = Literal["assistant", "last_assistant", "completion", "all", "nothing"]


class Options(Table):
    """The recipe's `train.objective` as a table, under some objective."""

    name: str


@dataclass(frozen=True, slots=True)
class Shape:
    """One set of columns an objective can train on, and the form in which they are rendered.

    `identity` names the columns that identify an example for the split: rows equal in them always fall
    on the same side. `types` are those a column must have for the objective to be chosen by it.
    """

    columns: tuple[str, ...]
    identity: tuple[str, ...]
    chat: bool
    types: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What of the model an objective needs beside the trained weights.

    `head` is what stands on the layers: the vocabulary's, one score, one for each class, or what makes one
    vector of a text. A `reference` is the model before training, to which the trained one is held.
    """

    head: Literal["vocabulary", "scores", "classes", "embedding"] = "vocabulary"
    reference: bool = False
    teacher: bool = False
    """Another model that the trained one follows."""


def _one(_: Options) -> int:
    return 1


@dataclass(frozen=True, slots=True)
class Objective:
    """A row of the objectives' table.

    `trainer` and `config` name classes of TRL as `module:Class`, imported by the runtime alone.
    `options` is the type of the recipe's `train.objective` table; `arguments` gives the config's own
    arguments under them. `owned` are the config's fields which ftc sets itself, with the recipe key to
    use instead. `members` are the columns that end the texts which train together as one row, `carried`
    those that travel with the tokens. Rows of which nothing is predicted are read whole if they are `closed`:
    with the end token. An objective that is not `implied` by its columns must be named.
    `batches` names what makes the trainer's batches of compiled rows (`runtime/collate.py`).
    `per_row` is how many sequences of the trainer's batch a row stands for.
    `rate` is the part of a tuning method's learning rate that is the default here, with the reason.
    """

    name: str
    title: str
    shapes: tuple[Shape, ...]
    trainer: str
    config: str
    options: type[Options]
    arguments: Callable[[Any], dict[str, JsonValue]]
    owned: Mapping[str, str]
    members: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()
    closed: bool = False
    implied: bool = True
    train_on: TrainOn | None = None
    loads: Loaded = Loaded()
    batches: Literal[
        "rows", "pairs", "pairs_apart", "followed", "labelled", "prompts", "classes", "members"
    ] = "rows"
    metrics: tuple[Metric, ...] | None = None
    per_row: Callable[[Any], int] = _one
    epochs: float = 3.0
    epochs_reason: str = "usual for fine-tuning"
    rate: float = 1.0
    rate_reason: str = ""
