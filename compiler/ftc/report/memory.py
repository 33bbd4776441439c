"""What a build takes of a device's memory, as a bar of parts against what the device has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ftc.cli.forecast_view import bare_gib, dollars, gib, money_span, span
from ftc.cli.layout import clip, duration, percent
from ftc.estimate.forecast import Forecast, Forecasts, Memory
from ftc.report.svg import NARROW, WIDE, drawing, line, rect, text

TALL = 30.0
BESIDE = "process"
"""What the process takes beside the tensors of the step: libraries, the allocator's rounding."""


@dataclass(frozen=True, slots=True)
class Part:
    """A kind of memory: its place in the palette, its bytes, its share of what is needed."""

    kind: str
    colour: str
    bytes: int
    size: str
    share: str


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device in the table: figures in words, and how much of it is taken as a small bar."""

    name: str
    here: bool
    needed: str
    capacity: str
    free: str
    time: str
    cost: str
    settings: str
    fits: bool
    bar: Markup


def parts_of(memory: Memory) -> tuple[Part, ...]:
    """The parts of the peak in a fixed order of colours, and what is needed beside them."""
    kinds = {kind: held for kind, held in memory.breakdown.items() if held}
    rest = memory.needed - sum(kinds.values())
    kinds |= {BESIDE: rest} if rest > 0 else {}
    names = [*memory.breakdown, BESIDE]
    return tuple(
        Part(kind, f"part-{names.index(kind) % 9}", held, gib(held), percent(held, memory.needed))
        for kind, held in kinds.items()
    )


def memory_picture(memory: Memory, device: str) -> Markup:
    """Both drawings of the bar of a device's memory."""
    return _drawn(memory, device, WIDE) + _drawn(memory, device, NARROW)


def _drawn(memory: Memory, device: str, width: float) -> Markup:
    most = max(memory.needed, memory.capacity or 0)
    scale = (width - 2) / most if memory.capacity else (width - 2) / memory.needed
    parts = [rect(0, 22, most * scale, TALL, "track")] if memory.capacity else []
    parts += list(_segments(memory, 0, 22, TALL, scale))
    label = f"{gib(memory.needed)} needed"
    parts.append(text(0, 14, label, "count"))
    said = f"{label} on {device}"
    if memory.capacity:
        x = memory.capacity * scale
        said += f", which has {gib(memory.capacity)}"
        parts += [
            line(x, 16, x, 22 + TALL + 6, "limit"),
            text(width, 14, f"{gib(memory.capacity)}: {clip(device, 24)}", "warned", "end"),
        ]
    return drawing(width, 22 + TALL + 10, said, *parts)


def _segments(memory: Memory, x: float, y: float, height: float, scale: float) -> Iterator[Markup]:
    for part in parts_of(memory):
        width = part.bytes * scale
        yield rect(x, y, max(width - 0.75, 0.25), height, f"part {part.colour}", f"{part.kind}: {part.size}")
        x += width


def device_rows(forecasts: Forecasts) -> tuple[DeviceRow, ...]:
    """A row a device, the plan's own first."""
    return tuple(map(_device, (forecasts.own, *forecasts.others)))


def _device(one: Forecast) -> DeviceRow:
    memory = one.memory
    return DeviceRow(
        name=one.device,
        here=one.here,
        needed="?" if memory is None else f"{bare_gib(memory.needed)} GiB",
        capacity="" if memory is None or not memory.capacity else f"{bare_gib(memory.capacity)} GiB",
        free=_free(memory),
        time=_time(one),
        cost=_cost(one),
        settings=_settings(one),
        fits=one.fits,
        bar=_small(memory, one.device) if memory is not None and memory.capacity else Markup(),
    )


def _free(memory: Memory | None) -> str:
    if memory is None or memory.free is None:
        return ""
    if memory.verdict == "no":
        return "too small"
    return "tight" if memory.verdict == "tight" else f"{memory.free * 100:.0f} % free"


def _time(one: Forecast) -> str:
    return "" if not one.fits else "?" if one.duration is None else span(one.duration.total)


def _cost(one: Forecast) -> str:
    if not one.fits or (one.cost is None and one.here):
        return ""
    return money_span(one.cost) if one.cost is not None else "?"


def _settings(one: Forecast) -> str:
    micro, more = one.settings.get("micro_batch"), one.settings.get("accumulation")
    again = ", activations computed again" if one.settings.get("gradient_checkpointing") else ""
    return f"batch {micro} × {more}{again}" if micro else ""


def _small(memory: Memory, device: str) -> Markup:
    """A device's memory as a small bar, full where all of it is taken."""
    width, capacity = 120.0, memory.capacity or 1
    scale = width / max(capacity, memory.needed)
    parts = [rect(0, 0, width, 12, "track"), *_segments(memory, 0, 0, 12, scale)]
    if memory.needed > capacity:
        parts.append(line(capacity * scale, 0, capacity * scale, 12, "limit"))
    said = f"{percent(memory.needed, capacity)} of the memory of {device}"
    drawn = drawing(width, 12, said, *parts)
    return Markup(str(drawn).replace('class="narrow"', 'class="small"', 1))  # noqa: S704 - a drawing


def time_rows(one: Forecast) -> tuple[tuple[str, str, str], ...]:
    """The parts of the time with their ranges, the whole last."""
    known = one.duration
    if known is None:
        return ()
    told = [(name, part) for name, part in known.parts.items()] + [("in all", known.total)]
    return tuple(
        (name, duration(part.likely), f"{duration(part.low)} to {duration(part.high)}") for name, part in told
    )


def cost_words(one: Forecast) -> str:
    """The likely cost with its range and where the prices are from; empty where there is none."""
    if one.cost is None or one.price is None:
        return ""
    low, likely, high = (dollars(value) for value in (one.cost.low, one.cost.likely, one.cost.high))
    return f"{likely} ({low} to {high}); {one.price.basis}"


def colours(forecasts: Sequence[Forecast]) -> tuple[tuple[str, str], ...]:
    """Names and colours of all kinds of memory that any of the forecasts has."""
    found = {part.kind: part.colour for one in forecasts if one.memory for part in parts_of(one.memory)}
    return tuple(sorted(found.items(), key=lambda one: one[1]))
