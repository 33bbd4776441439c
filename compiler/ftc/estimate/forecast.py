"""What a build takes on one device: memory, time and money, each with its basis or why it is unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ftc.estimate.catalogue import PriceRange
from ftc.estimate.duration import Duration
from ftc.estimate.fit import Verdict
from ftc.estimate.range import Range
from ftc.plan.steps import Choice

HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Memory:
    """The peak on a device, in bytes.

    `peak` is what the step's tensors take at most, in `segment`, of which `breakdown` says for what;
    `allocated` is what PyTorch hands out for it, `needed` has what the process must have beside that, and is
    what the verdict is about. `shown` is the range that the device will show, as PyTorch keeps more than it
    hands out.
    """

    peak: int
    allocated: int
    needed: int
    segment: str
    breakdown: Mapping[str, int]
    shown: tuple[int, int, int]
    capacity: int | None
    verdict: Verdict | None
    basis: str

    @property
    def free(self) -> float | None:
        """Part of the device's memory that is left free; below 0 where it is short."""
        return 1 - self.needed / self.capacity if self.capacity else None


@dataclass(frozen=True, slots=True)
class Exact:
    """What running the step abstractly gave: the peak in bytes, its phase, and the packages whose code ran.

    None where it could not be run, for the reason that `unknown` gives.
    """

    allocated: int | None
    phase: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class Forecast:
    """A build on a device; `here` says whether it is this machine's own.

    `settings` are those of the plan that hang on the device. `unknown` says why a part is None.
    """

    device: str
    here: bool
    settings: Mapping[str, int | str | bool]
    memory: Memory | None = None
    duration: Duration | None = None
    price: PriceRange | None = None
    unknown: tuple[str, ...] = ()
    exact: Exact | None = None

    @property
    def fits(self) -> bool:
        """Whether it can be built there, as far as is known."""
        return self.memory is None or self.memory.verdict != "no"

    @property
    def cost(self) -> Range | None:
        """US dollars: the shortest time at the lowest price, and so on."""
        if self.duration is None or self.price is None:
            return None
        total = self.duration.total
        prices = (self.price.low, self.price.likely, self.price.high)
        return Range(
            *(t * p / HOUR for t, p in zip((total.low, total.likely, total.high), prices, strict=True))
        )

    @property
    def hours(self) -> Range | None:
        """The whole build, in hours."""
        return self.duration.total.scaled(1 / HOUR) if self.duration is not None else None


@dataclass(frozen=True, slots=True)
class Budget:
    """US dollars and hours that a build may take; None where the recipe says nothing."""

    max_cost: float | None = None
    max_hours: float | None = None

    def exceeded(self, forecast: Forecast) -> tuple[str, ...]:
        """Which of `max_cost` and `max_hours` a build exceeds by its likely figure; unknown ones are not."""
        cost, hours = forecast.cost, forecast.hours
        over = []
        if self.max_cost is not None and cost is not None and cost.likely > self.max_cost:
            over.append("max_cost")
        if self.max_hours is not None and hours is not None and hours.likely > self.max_hours:
            over.append("max_hours")
        return tuple(over)


@dataclass(frozen=True, slots=True)
class Forecasts:
    """The build where the plan is for, on devices that are shown, and on those that are not (`unlisted`).

    `chosen` is why the plan is for its GPU, where the recipe leaves that open. Prices change, and the plan
    does not with them, so it is no choice of the plan.
    """

    own: Forecast
    others: tuple[Forecast, ...] = ()
    unlisted: tuple[Forecast, ...] = ()
    chosen: tuple[Choice, ...] = ()


def by_cost(forecasts: Iterable[Forecast]) -> list[Forecast]:
    """Those that fit and whose cost is known, the cheapest first; equal ones by their names."""
    known = [(one.cost.likely, one.device, one) for one in forecasts if one.fits and one.cost is not None]
    return [one for _, _, one in sorted(known, key=lambda each: each[:2])]


def cheapest(forecasts: Iterable[Forecast], budget: Budget) -> Forecast | None:
    """The cheapest device that fits the model and the budget, with room to spare where there is one."""
    within = [one for one in by_cost(forecasts) if not budget.exceeded(one)]
    roomy = [one for one in within if one.memory is not None and one.memory.verdict == "fits"]
    return next(iter(roomy or within), None)
