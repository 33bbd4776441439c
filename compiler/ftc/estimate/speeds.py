"""How fast GPUs fine-tune and generate, from speeds.toml: constants, and published records behind them."""

from __future__ import annotations

import tomllib
from datetime import date as Date  # noqa: N812 - `date` is a field's name
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, Strict, ValidationError, model_validator

from ftc.estimate.range import Range
from ftc.recipe.base import Frozen

SPEEDS = Path(__file__).with_name("speeds.toml")
Text = Annotated[str, Field(min_length=1, pattern=r"\S")]
Amount = Annotated[float, Field(ge=0)]
NAMES = (
    "matrix products",
    "traffic",
    "quantised traffic",
    "launch",
    "adapter launch",
    "bandwidth",
    "disk",
    "start",
    "other devices",
)


class SpeedsError(ValueError):
    """The table has an entry that cannot be used; the message names it."""


class Constant(Frozen):
    """A quantity of some unit, between a low and a high value, with its source."""

    name: Text
    unit: Text
    low: Amount
    likely: Amount
    high: Amount
    date: Date
    source: Text

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low <= self.likely <= self.high:
            raise ValueError("low, likely and high are not in this order")
        return self

    @property
    def range(self) -> Range:
        """The three values."""
        return Range(self.low, self.likely, self.high)


class Record(Frozen):
    """A published time: seconds of one checkpointed micro-batch of `rows` of `length` tokens."""

    model: Text
    method: Literal["full", "lora", "qlora"]
    device: Text
    rows: Annotated[int, Field(ge=1)]
    length: Annotated[int, Field(ge=1)]
    rank: int | None = None
    targets: Annotated[tuple[str, ...], Strict(strict=False)] = ()
    seconds: Annotated[float, Field(gt=0)]
    date: Date
    source: Text


class Speeds(Frozen):
    """The whole table: constants by name, records, and the models these are of, as config.json has them."""

    constants: dict[str, Constant]
    records: Annotated[tuple[Record, ...], Strict(strict=False)]
    models: dict[str, dict[str, Any]]

    def __getitem__(self, name: str) -> Range:
        return self.constants[name].range


Entry = TypeVar("Entry", bound=Frozen)


@cache
def speeds() -> Speeds:
    """The table, read and checked once."""
    return load(SPEEDS.read_text(encoding="utf-8"))


def load(text: str) -> Speeds:
    """The table from TOML. Raises SpeedsError for an entry without source or date, or one too many or few."""
    raw = tomllib.loads(text)
    listed = [_entry(Constant, entry) for entry in raw.get("constants", [])]
    records = [_entry(Record, entry) for entry in raw.get("records", [])]
    names = [constant.name for constant in listed]
    if sorted(names) != sorted(NAMES):
        raise SpeedsError(f"the constants are {', '.join(names)} instead of {', '.join(NAMES)}")
    models = raw.get("models", {})
    unknown = {record.model for record in records} - set(models)
    if unknown:
        raise SpeedsError(f"there is no model {', '.join(sorted(unknown))}")
    constants = {constant.name: constant for constant in listed}
    return Speeds(constants=constants, records=tuple(records), models=models)


def _entry(kind: type[Entry], entry: dict[str, Any]) -> Entry:
    try:
        return kind.model_validate(entry)
    except ValidationError as error:
        first = error.errors()[0]
        name = entry.get("name") or f"{entry.get('model')}, {entry.get('method')}, {entry.get('length')}"
        where = ".".join(map(str, first["loc"]))
        raise SpeedsError(f"{name}: {where}: {first['msg']}") from error
