"""Pictures as inline SVG: elements with all escaped, coordinates of fixed form, scales with round ticks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log10

from markupsafe import Markup, escape

from ftc.report.text import visible

WIDE, NARROW = 760, 344
"""Widths of the two drawings of each picture, in CSS pixels: for a laptop and for a phone."""

MINUS = "\N{MINUS SIGN}"

Value = str | float


def coordinate(value: float) -> str:
    """A number with at most two decimals, the same on every machine."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def element(name: str, /, *children: str | Markup, **attributes: Value | None) -> Markup:
    """One element; text is escaped, and an attribute that is None left out.

    `class_` stands for `class`, and underscores within a name for hyphens.
    """
    pairs = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    told = "".join(f' {key}="{_attribute(value)}"' for key, value in pairs if value is not None)
    inner = "".join(child if isinstance(child, Markup) else escape(visible(child)) for child in children)
    return Markup(f"<{name}{told}>{inner}</{name}>")  # noqa: S704 - all of it is escaped


def _attribute(value: Value) -> str:
    return str(escape(visible(value))) if isinstance(value, str) else coordinate(value)


def joined(parts: Sequence[Markup]) -> Markup:
    """Elements one behind the other."""
    return Markup("").join(parts)


def text(x: float, y: float, said: str, kind: str = "", anchor: str | None = None) -> Markup:
    """A line of text at its base line."""
    return element("text", said, x=x, y=y, class_=kind or None, text_anchor=anchor)


def rect(x: float, y: float, width: float, height: float, kind: str, title: str = "") -> Markup:
    """A rectangle; `title` is what is said of it when it is pointed at."""
    said = (element("title", title),) if title else ()
    return element(
        "rect", *said, x=x, y=y, width=max(width, 0.0), height=max(height, 0.0), class_=kind, rx=1.5
    )


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


def path(points: Sequence[tuple[float, float]], kind: str) -> Markup:
    """A line through points."""
    told = " ".join(f"{coordinate(x)},{coordinate(y)}" for x, y in points)
    return element("polyline", points=told, class_=kind)


def drawing(width: float, height: float, label: str, *parts: Markup) -> Markup:
    """A whole picture; `label` is what it says to who cannot see it."""
    box = f"0 0 {coordinate(width)} {coordinate(height)}"
    kind = "wide" if width > NARROW else "narrow"
    inner = joined(parts)
    return Markup('<svg viewBox="{}" class="{}" role="img" aria-label="{}">{}</svg>').format(
        box, kind, visible(label), inner
    )


@dataclass(frozen=True, slots=True)
class Scale:
    """Values on a line of pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Where a value stands; in the middle where there is one value alone."""
        if self.high == self.low:
            return (self.start + self.end) / 2
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round values from `low` to `high`: steps of 1, 2 or 5 times a power of ten."""
    if high <= low:
        return [low]
    rough = (high - low) / max(most, 1)
    power: float = 10.0 ** floor(log10(rough))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= rough * 0.999999)
    first = -floor(-low / step - 1e-9)
    count = floor(high / step + 1e-9) - first
    return [round((first + number) * step, 12) for number in range(count + 1)]


def short(value: float) -> str:
    """A figure of an axis: four digits that count, an `e` for what is very small or large."""
    if value and (abs(value) < 1e-3 or abs(value) >= 1e6):
        mantissa, _, power = f"{value:.2e}".partition("e")
        told = f"{mantissa.rstrip('0').rstrip('.')}e{int(power)}"
    else:
        told = f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return told.replace("-", MINUS)
