"""Which weights train, and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from ftc.recipe.base import Frozen


class UnfrozenStep(Frozen):
    """Which of the base's own weights train where the others are frozen; a weight trains that any part names.

    `first` and `last` count decoder layers, and `modules` are patterns of module names
    (`tuning/modules.py`, fits).
    """

    first: Annotated[int, Field(ge=0)] = 0
    last: Annotated[int, Field(ge=0)] = 0
    embeddings: bool = False
    norms: bool = False
    head: bool = False
    modules: tuple[str, ...] = ()


class QuantiseStep(Frozen):
    """How bitsandbytes stores the frozen linear layers: NF4 or FP4 in blocks of 64, or LLM.int8().

    `double` quantises the blocks' scales in turn. With `residual` adapters begin as what that loses.
    """

    kind: Literal["nf4", "fp4", "int8"]
    double: bool = False
    residual: bool = Field(default=False, exclude_if=lambda begins: not begins)


class TuneStep(Frozen):
    """Which weights train: the method, and its resolved options as PEFT takes them (None: no adapter).

    `unfrozen` says which weights of the base train where some are frozen. An adapter whose initialisation
    changes the base is `converted` when it is saved, so that it stands on the base as it was. `parameters`
    is how many numbers train, and `total` how many the model has; None where its modules are not known.
    `init_rows` are the training rows that adapters begin by, where they do.
    """

    method: str
    peft: dict[str, JsonValue] | None
    unfrozen: UnfrozenStep | None = None
    quantise: QuantiseStep | None = None
    converted: bool = False
    init_rows: int | None = Field(default=None, exclude_if=lambda rows: rows is None)
    parameters: int | None = None
    total: int | None = None


class WatchStep(Frozen):
    """The held-out loss while training: every `every` steps and after the last, `batch` rows at a time.

    Training ends after `patience` evaluations in a row of which none is better by more than `min_delta` than
    the best before them; never where that is None. `keep` says which weights are saved.
    """

    every: Annotated[int, Field(ge=1)]
    batch: Annotated[int, Field(ge=1)]
    patience: int | None = None
    min_delta: float = 0.0
    keep: Literal["last", "best"] = "last"


class TrainStep(Frozen):
    """The schedule, and every argument of the trainer's config except places and devices.

    `divergence` says what becomes of training whose loss goes up for good, but stays finite. With
    `deterministic` sums are taken in a fixed order as far as PyTorch can; `varies` names what else may change
    the last bits of the weights between two runs of this plan.
    """

    steps: Annotated[int, Field(ge=1)]
    epochs: float
    batch: Annotated[int, Field(ge=1)]
    micro_batch: Annotated[int, Field(ge=1)]
    accumulation: Annotated[int, Field(ge=1)]
    save_every: Annotated[int, Field(ge=1)]
    arguments: dict[str, JsonValue]
    watch: WatchStep | None = None
    divergence: Literal["stop", "warn"] = "stop"
    deterministic: bool = Field(default=True, exclude_if=lambda value: value)
    varies: tuple[str, ...] = Field(default=(), exclude_if=lambda value: not value)
