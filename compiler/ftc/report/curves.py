"""Training as metrics.jsonl has it: the losses, the learning rate, and what the objective adds, by step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ftc.cli.layout import number
from ftc.report.svg import NARROW, WIDE, Scale, drawing, element, joined, line, path, rect, short, text, ticks

Point = tuple[int, float]
Points = tuple[Point, ...]

MOST, FEW = 300, 120
"""Points of a large curve and of a small one; of more steps the means of neighbours are drawn."""
MOST_CHARTS = 16
PLAIN = ("step", "tokens", "eval_tokens")
TITLES = {
    "loss": "training loss",
    "eval_loss": "held-out loss",
    "learning_rate": "learning rate",
    "grad_norm": "norm of the gradient",
    "answer_tokens": "tokens of an answer",
    "cut_answers": "answers cut off",
    "reward_std": "spread of the reward",
}
LEFT, RIGHT, TOP, FOOT = 52.0, 14.0, 12.0, 30.0


@dataclass(frozen=True, slots=True)
class Record:
    """Each figure of metrics.jsonl by its name, in order of steps; what is not finite is left out."""

    series: Mapping[str, Points]

    @property
    def steps(self) -> int:
        """The last step."""
        return max((points[-1][0] for points in self.series.values() if points), default=0)


@dataclass(frozen=True, slots=True)
class Chart:
    """One picture of a figure over the steps; `mean_of` says how many steps a point stands for."""

    title: str
    picture: Markup
    mean_of: int
    rows: tuple[tuple[str, ...], ...] = ()


def read_record(path: Path) -> Record:
    """What a metrics.jsonl says; nothing where there is none. Raises OSError and ValueError."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    series: dict[str, list[Point]] = {}
    for told in map(json.loads, lines):
        for name, value in told.items():
            if name not in PLAIN and _finite(value):
                series.setdefault(name, []).append((told["step"], float(value)))
    return Record({name: tuple(points) for name, points in series.items()})


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def thinned(points: Points, most: int) -> tuple[Points, int]:
    """At most so many points, each the mean of as many neighbours, and of how many."""
    each = -(-len(points) // most) if points else 1
    if each <= 1:
        return points, 1
    groups = [points[start : start + each] for start in range(0, len(points), each)]
    return tuple((group[-1][0], sum(value for _, value in group) / len(group)) for group in groups), each


def charts(record: Record, kept: int | None = None) -> tuple[Chart, ...]:
    """The losses in one large picture, and a small one for each other figure.

    The step whose weights are `kept` is marked where it is not the last.
    """
    series = dict(record.series)
    losses: dict[str, Points] = {name: series.pop(name) for name in ("loss", "eval_loss") if name in series}
    mark = kept if kept is not None and kept < record.steps else None
    found = [_chart("loss", losses, record.steps, 220.0, mark)] if losses else []
    small = list(series.items())[:MOST_CHARTS]
    return (*found, *(_chart(name, {name: points}, record.steps, 96.0) for name, points in small))


def title_of(name: str) -> str:
    """A figure's name in words."""
    return TITLES.get(name, name.replace("_", " "))


def _chart(
    name: str, curves: Mapping[str, Points], steps: int, tall: float, kept: int | None = None
) -> Chart:
    large = tall > 100
    thin = {one: thinned(points, MOST if large else FEW) for one, points in curves.items()}
    drawn = {one: points for one, (points, _) in thin.items()}
    title = "loss" if len(curves) > 1 else title_of(name)
    sizes = (WIDE, NARROW) if large else (NARROW,)
    span = (min(points[0][0] for points in curves.values()), steps)
    picture = joined([_drawn(title, drawn, span, (width, tall), kept) for width in sizes])
    return Chart(title, picture, max(each for _, each in thin.values()), _rows(drawn) if large else ())


def _rows(curves: Mapping[str, Points]) -> tuple[tuple[str, ...], ...]:
    """Some steps of the curves as a table: at most twenty, the last one among them."""
    steps = sorted({step for points in curves.values() for step, _ in points})
    every = -(-len(steps) // 20) if steps else 1
    some = steps[every - 1 :: every]
    some = some if not steps or some[-1:] == steps[-1:] else [*some, steps[-1]]
    found = {name: dict(points) for name, points in curves.items()}
    return tuple(
        (number(step), *(short(values[step]) if step in values else "" for values in found.values()))
        for step in some
    )


def _drawn(
    title: str,
    curves: Mapping[str, Points],
    span: tuple[int, int],
    size: tuple[float, float],
    kept: int | None,
) -> Markup:
    width, tall = size
    values = [value for points in curves.values() for _, value in points]
    low, high = _padded(min(values), max(values))
    x, y = Scale(*span, LEFT, width - RIGHT), Scale(low, high, TOP + tall, TOP)
    parts = [*_grid(x, y, width, tall)]
    for name, points in curves.items():
        parts += _curve(name, points, x, y)
    if kept is not None:
        parts += [line(x(kept), TOP, x(kept), TOP + tall, "mark")]
        parts.append(text(x(kept) - 5, TOP + 10, "saved weights", "said halo", "end"))
    said = "; ".join(_said(name, points) for name, points in curves.items())
    return drawing(width, TOP + tall + FOOT, f"{title} by step. {said}", *parts)


def _said(name: str, points: Points) -> str:
    (first, begun), (last, ended) = points[0], points[-1]
    return f"{title_of(name)}: {short(begun)} at step {number(first)}, {short(ended)} at step {number(last)}"


def _padded(low: float, high: float) -> tuple[float, float]:
    """A range with some room; one of its own around a single value."""
    room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return (max(low - room, 0.0) if low >= 0 else low - room), high + room


def _grid(x: Scale, y: Scale, width: float, tall: float) -> list[Markup]:
    found = []
    for value in ticks(y.low, y.high, 5 if tall > 100 else 3):
        at = y(value)
        found += [
            line(LEFT, at, width - RIGHT, at, "grid"),
            text(LEFT - 8, at + 4, short(value), "tick", "end"),
        ]
    foot = TOP + tall
    for step in _steps(x, width):
        anchor = "end" if step == x.high else "start" if step == x.low else "middle"
        found.append(text(x(step), foot + 17, short(step), "tick", anchor))
    return [*found, line(LEFT, foot, width - RIGHT, foot, "axis")]


def _steps(x: Scale, width: float) -> list[float]:
    """The steps that are named: the first, the last, and round ones that stand clear of them."""
    round_ones = [value for value in ticks(x.low, x.high, 6 if width > NARROW else 3) if value == int(value)]
    clear = [value for value in round_ones if min(x(value) - x.start, x.end - x(value)) > 44]
    return [x.low, *clear, x.high] if x.high > x.low else [x.low]


def _curve(name: str, points: Points, x: Scale, y: Scale) -> list[Markup]:
    """The curve, its points where they are few, and columns that tell each value when pointed at."""
    kind = "eval" if name == "eval_loss" else "train"
    places = [(x(step), y(value)) for step, value in points]
    found = [path(places, f"curve {kind}")] if len(places) > 1 else []
    if len(places) <= 40:
        found += [element("circle", cx=px, cy=py, r=2.6, class_=f"dot {kind}") for px, py in places]
    return found + _told(name, points, x, y)


def _told(name: str, points: Points, x: Scale, y: Scale) -> list[Markup]:
    each = (x.end - x.start) / max(len(points), 1)
    wide = max(each, 1.5)
    height = 14.0 if name == "eval_loss" else y.start - y.end
    return [
        rect(
            x(step) - wide / 2,
            y(value) - height / 2 if name == "eval_loss" else y.end,
            wide,
            height,
            "point",
            f"step {number(step)}: {title_of(name)} {short(value)}",
        )
        for step, value in points
    ]
