"""GPUs that can be rented or bought: memory, rates and dated prices, each with its source, from gpus.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date as Date  # noqa: N812 - `date` is a field's name
from functools import cache
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import Field, Strict, ValidationError

from ftc.estimate.step import Dtype
from ftc.recipe.base import Frozen
from ftc.recipe.suggest import closest

CATALOGUE = Path(__file__).with_name("gpus.toml")
Text = Annotated[str, Field(min_length=1, pattern=r"\S")]
Positive = Annotated[float, Field(gt=0)]
MAKERS = ("nvidia", "geforce", "tesla", "amd", "instinct", "radeon")


class CatalogueError(ValueError):
    """The catalogue has an entry that cannot be used; the message names it."""


class Price(Frozen):
    """What an hour of one GPU costs on demand at one provider: US dollars, on a day, as a source says."""

    provider: Text
    usd_per_hour: Positive
    date: Date
    source: Text


class Device(Frozen):
    """A GPU as an estimate needs it.

    `memory`: bytes that PyTorch shows as total_memory. `bandwidth`: bytes/s. `flops`: dense FLOP/s of matrix
    products that accumulate in float32; a dtype that the device lacks is not there. `capability`: compute
    capability (`sm_90`) or AMD's name of the architecture (`gfx942`). `date` and `source`: of these figures.
    """

    name: Text
    aliases: Annotated[tuple[Text, ...], Strict(strict=False)] = ()
    memory: Annotated[int, Field(gt=0)]
    bandwidth: Positive
    flops: Annotated[dict[Dtype, Positive], Field(min_length=1)]
    capability: Annotated[str, Field(pattern=r"^(sm_\d+|gfx[0-9a-f]+)$")]
    date: Date
    source: Text
    prices: Annotated[tuple[Price, ...], Strict(strict=False)] = ()

    @property
    def has_bfloat16(self) -> bool:
        """Whether the device computes in bfloat16 itself."""
        return "bfloat16" in self.flops


@dataclass(frozen=True, slots=True)
class PriceRange:
    """US dollars for an hour of one GPU, and where they are from, with dates."""

    low: float
    likely: float
    high: float
    basis: str


@cache
def devices() -> Mapping[str, Device]:
    """Every device of the catalogue by its name, in the file's order; read and checked once."""
    return load(CATALOGUE.read_text(encoding="utf-8"))


@cache
def _by_any_name() -> Mapping[str, Device]:
    return {plain(name): one for one in devices().values() for name in (one.name, *one.aliases)}


def load(text: str) -> Mapping[str, Device]:
    """The devices of a catalogue's text.

    Raises `CatalogueError`, which names the entry, where one lacks a date or a source, has an unknown key or
    a figure that is not above zero, or shares a name with another.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError(f"the catalogue is not TOML: {error}") from error
    entries = table.pop("device", [])
    if table or not isinstance(entries, list) or not entries:
        raise CatalogueError(f"the catalogue has tables [[device]] alone, and at least one; here: {[*table]}")
    found = [_device(entry, number) for number, entry in enumerate(entries, 1)]
    _refuse_shared_names(found)
    return MappingProxyType({one.name: one for one in found})


def _device(entry: Any, number: int) -> Device:
    name = entry.get("name", f"number {number}") if isinstance(entry, dict) else f"number {number}"
    try:
        return Device.model_validate(entry)
    except ValidationError as error:
        problems = "; ".join(_said(problem) for problem in error.errors())
        raise CatalogueError(f"device {name}: {problems}") from error


def _said(problem: Any) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place or 'entry'}: {problem['msg']}"


def _refuse_shared_names(found: Iterable[Device]) -> None:
    owners: dict[str, str] = {}
    for one in found:
        for name in (one.name, *one.aliases):
            if plain(name) in owners:
                owner = owners[plain(name)]
                raise CatalogueError(f"device {one.name}: the name {name} belongs to {owner} already")
            owners[plain(name)] = one.name


def _words(name: str) -> tuple[str, ...]:
    words = tuple(re.findall(r"[a-z0-9]+", name.casefold()))
    return tuple(word for word in words if word not in MAKERS) or words


def plain(name: str) -> str:
    """A name without the maker, case, blanks and hyphens, by which devices are told apart."""
    return "".join(_words(name))


def find(name: str) -> Device | None:
    """The device of a name or alias, in any case and with or without its maker; None if it is not known."""
    return _by_any_name().get(plain(name))


def sharing(name: str) -> tuple[str, ...]:
    """Names in the catalogue that have all words of a name, such as the four of `A100`."""
    words = set(_words(name))
    return tuple(one.name for one in devices().values() if words and words <= set(_words(one.name)))


def suggestions(name: str, *, most: int = 4) -> tuple[str, ...]:
    """Names in the catalogue that an unknown name may stand for, likeliest first; often none.

    Those that have all its words, and those that begin as it does; where none does, those a few slips away.
    """
    wanted = plain(name)
    known = {plain(each): one.name for one in devices().values() for each in (one.name, *one.aliases)}
    begun = [owner for key, owner in known.items() if len(wanted) > 2 and key.startswith(wanted)]
    likely = (*sharing(name), *begun) or [known[key] for key in closest(wanted, known, most=most)]
    return tuple(dict.fromkeys(likely))[:most]


def price_range(
    device: Device, own: Mapping[str, float], shared: Mapping[str, float] | None = None
) -> PriceRange | None:
    """What an hour of a device costs; None where nobody publishes a price and the user gives none.

    `own` are the recipe's prices, `shared` those of the file that FTC_PRICES names, both in US dollars
    an hour, by any name of a device. A user's own price is the price; published ones make a range
    from the lowest to the highest, and the likely one is their median.
    """
    for prices, place in ((own, "the recipe"), (shared or {}, "the file of FTC_PRICES")):
        for stated in _stated(device, prices):
            return PriceRange(stated, stated, stated, f"your price, from {place}")
    if not device.prices:
        return None
    figures = [price.usd_per_hour for price in device.prices]
    return PriceRange(min(figures), median(figures), max(figures), _basis(device.prices))


def _stated(device: Device, prices: Mapping[str, float]) -> Iterator[float]:
    yield from (price for name, price in prices.items() if find(name) == device)


def _basis(prices: Iterable[Price]) -> str:
    listed = sorted(prices, key=lambda price: price.usd_per_hour)
    days = sorted(price.date for price in listed)
    when = f"{days[0]}" if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
    names = ", ".join(dict.fromkeys(price.provider for price in listed))
    return f"on demand, {when}: {names}"
