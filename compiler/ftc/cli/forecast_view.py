"""What a build takes, on the screen and in JSON: memory, time and money, and a table of devices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ftc.cli.layout import clip, duration, table, wrap

if TYPE_CHECKING:
    from ftc.estimate.forecast import Forecast, Forecasts, Memory
    from ftc.estimate.range import Range

GIB = 1 << 30
UNKNOWN = "?"
NAME = 24
PARTS = 4
"""Kinds of memory that are named, the largest first."""

UNITS = (("s", 1.0, 90.0), ("min", 60.0, 5400.0), ("h", 3600.0, 259200.0), ("d", 86400.0, float("inf")))
"""Units of time: in seconds, and up to how many seconds they are used."""


def forecast_sections(forecasts: Forecasts, width: int) -> Iterable[tuple[str, list[str]]]:
    """Labelled lines: memory, time and cost where the plan is for, then other devices."""
    own = forecasts.own
    yield "memory", memory_lines(own, width)
    yield "time", time_lines(own, width)
    if own.cost is not None and own.price is not None:
        yield "cost", wrap(f"{money(own.cost)}; {own.price.basis}", width)
    if forecasts.others:
        yield "devices", device_lines(forecasts, width)


def memory_lines(own: Forecast, width: int) -> list[str]:
    """The peak, when it is and of what, and how much of the device it takes."""
    memory = own.memory
    if memory is None:
        return wrap("; ".join(own.unknown) or "not known", width)
    low, _, high = memory.shown
    of = f" of {gib(memory.capacity)}" if memory.capacity else ""
    between = f"; it will show {gib(low)} to {gib(high)}" if low != high else ""
    segment = "forward pass" if memory.segment == "forward" else memory.segment
    peak = f"{gib(memory.allocated)} in the {segment}"
    said = f"{gib(memory.needed)}{of} on {own.device}: {peak}{between}"
    basis = wrap(memory.basis, width) if low != high else []
    return [*wrap(said, width), *wrap(_parts(memory), width), *basis, *_exact_lines(own, memory, width)]


def _exact_lines(own: Forecast, memory: Memory, width: int) -> list[str]:
    """What the abstract run gave, beside the closed form's figure."""
    if own.exact is None:
        return []
    if own.exact.allocated is None:
        return wrap(f"the abstract run has no figure: {own.exact.unknown}", width)
    off = memory.peak / own.exact.allocated - 1
    by = ", ".join(f"{name} {release}" for name, release in own.exact.packages.items())
    said = (
        f"run abstractly: {own.exact.allocated:,} bytes in the {own.exact.phase}, the closed form {off:+.2%}"
    )
    return wrap(f"{said.replace('%', ' %')} ({by})", width)


def _parts(memory: Memory) -> str:
    kinds = sorted(memory.breakdown.items(), key=lambda item: -item[1])[:PARTS]
    return ", ".join(f"{kind} {gib(held)}" for kind, held in kinds if held)


def time_lines(own: Forecast, width: int) -> list[str]:
    """The whole time with its range, the parts that take most of it, and where the figures are from."""
    known = own.duration
    if known is None:
        return wrap("; ".join(own.unknown) or "not known", width)
    parts = ", ".join(f"{name} {duration(part.likely)}" for name, part in known.parts.items())
    total = known.total
    said = f"{duration(total.likely)} ({duration(total.low)} to {duration(total.high)}): {parts}"
    return [*wrap(said, width), *wrap(known.basis, width)]


def device_lines(forecasts: Forecasts, width: int) -> list[str]:
    """A line a device, the plan's own first, then how many are not shown and where they are."""
    head = ("", "GiB", "free", "time", "cost")
    shown = (forecasts.own, *forecasts.others)
    lines = table([head, *map(_row, shown)], right=(1, 2, 3, 4))
    if forecasts.unlisted:
        fitting = sum(one.fits for one in forecasts.unlisted)
        others = (
            f"{fitting} more {'fits' if fitting == 1 else 'fit'}, {len(forecasts.unlisted) - fitting} do not"
        )
        lines += wrap(f"of the other GPUs {others}: `--gpu all`, `--gpu L4,H100-80GB-SXM` show them", width)
    return lines


def _row(one: Forecast) -> tuple[str, ...]:
    name = clip(one.device, NAME)
    memory, room, free = one.memory, UNKNOWN, ""
    if memory is not None:
        of = f" of {bare_gib(memory.capacity)}" if memory.capacity else ""
        room, free = f"{bare_gib(memory.needed)}{of}", _free(memory)
    if not one.fits:
        return name, room, free, "too small", ""
    time = UNKNOWN if one.duration is None else span(one.duration.total)
    return name, room, free, time, _cost(one)


def _free(memory: Memory) -> str:
    if memory.free is None or memory.verdict == "no":
        return ""
    return "tight" if memory.verdict == "tight" else f"{memory.free * 100:.0f} %"


def _cost(one: Forecast) -> str:
    if one.cost is not None:
        return money_span(one.cost)
    return "" if one.here else UNKNOWN if one.duration is None else "no price"


def span(seconds: Range) -> str:
    """The shortest and the longest time in one unit: `17-78 s`, `2.6-3.3 min`, `1.5-20 h`."""
    most = next(((unit, size) for unit, size, end in UNITS if seconds.high < end), UNITS[-1][:2])
    low, high = (_rounded(value / most[1]) for value in (seconds.low, seconds.high))
    return f"{low}-{high} {most[0]}" if low != high else f"{high} {most[0]}"


def money_span(cost: Range) -> str:
    """The least and the most it costs, in US dollars."""
    if cost.high < 0.01:
        return "< $0.01"
    low, high = dollars(cost.low), dollars(cost.high).removeprefix("$")
    return f"{low}-{high}" if low != f"${high}" else low


def _rounded(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def bare_gib(count: int) -> str:
    """Bytes as a number of GiB."""
    return _rounded(count / GIB)


def gib(count: int) -> str:
    """Bytes as GiB, as devices' memory is counted."""
    value = count / GIB
    return f"{value:.1f} GiB" if value >= 1 else f"{value * 1024:.0f} MiB"


def money(cost: Range) -> str:
    """US dollars: the likely figure with its range."""
    low, likely, high = (dollars(value) for value in (cost.low, cost.likely, cost.high))
    return f"{likely} ({low} to {high})"


def dollars(value: float) -> str:
    """An amount in US dollars, with cents where they matter."""
    return f"${value:,.0f}" if value >= 100 else f"${value:.2f}"


def forecasts_json(forecasts: Forecasts | None) -> dict[str, Any] | None:
    """Forecasts in bytes, seconds and US dollars; ranges are [low, likely, high]."""
    if forecasts is None:
        return None
    return {
        "own": forecast_json(forecasts.own),
        "devices": [forecast_json(one) for one in forecasts.others],
        "chosen": [choice.model_dump(mode="json") for choice in forecasts.chosen],
    }


def forecast_json(one: Forecast) -> dict[str, Any]:
    """One device's forecast."""
    return {
        "device": one.device,
        "here": one.here,
        "fits": one.fits,
        "settings": dict(one.settings),
        "memory": None if one.memory is None else _memory_json(one.memory),
        "time": None
        if one.duration is None
        else {
            "seconds": _range(one.duration.total),
            "parts": {name: _range(part) for name, part in one.duration.parts.items()},
            "basis": one.duration.basis,
            "measured": one.duration.measured,
        },
        "cost": None
        if one.cost is None or one.price is None
        else {
            "usd": _range(one.cost),
            "usd_per_hour": [one.price.low, one.price.likely, one.price.high],
            "basis": one.price.basis,
        },
        "unknown": list(one.unknown),
        "exact": None
        if one.exact is None
        else {
            "allocated": one.exact.allocated,
            "phase": one.exact.phase,
            "packages": dict(one.exact.packages),
            "unknown": one.exact.unknown,
        },
    }


def _memory_json(memory: Memory) -> dict[str, Any]:
    return {
        "peak": memory.peak,
        "allocated": memory.allocated,
        "segment": memory.segment,
        "breakdown": dict(memory.breakdown),
        "needed": memory.needed,
        "shown": list(memory.shown),
        "capacity": memory.capacity,
        "verdict": memory.verdict,
        "basis": memory.basis,
    }


def _range(value: Range) -> list[float]:
    return [value.low, value.likely, value.high]
