"""How long the compiled rows are: a histogram of both sides over the same bins, and the limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from markupsafe import Markup

from ftc.cli.layout import number, plural
from ftc.cli.length_view import EVEN
from ftc.data.kept.batch_lengths import row_lengths
from ftc.data.packing.lengths import Lengths, histogram
from ftc.plan.steps import DataStep
from ftc.report.svg import NARROW, WIDE, drawing, line, rect, text

TRAIN, EVAL = 120.0, 54.0
"""Heights of the bars above the line and below it."""
FOOT, HEAD = 38.0, 34.0
WIDEST = 56.0
"""Width of a bar where there are few."""
LETTER = 8.0
"""Width of a letter of a label, at most."""
GAP = 5.0
"""Between a line and its label."""


@dataclass(frozen=True, slots=True)
class Sides:
    """Rows of both sides by their tokens, in the bins of `all`; `limit` is the most a row may have."""

    all: Lengths
    train: tuple[int, ...]
    eval: tuple[int, ...]
    limit: int | None
    quantiles: Lengths


def sides_of(data: DataStep, directory: Path, limit: int | None) -> Sides | None:
    """The lengths of the compiled rows in a directory; None where there are none. Raises OSError."""
    train = row_lengths(directory, data.train)
    held = row_lengths(directory, data.eval) if data.eval is not None else np.zeros(0, np.int32)
    bins, quantiles = histogram(np.concatenate([train, held])), histogram(train)
    if bins is None or quantiles is None:
        return None
    counts = [np.histogram(each, np.array(bins.edges))[0].tolist() for each in (train, held)]
    return Sides(bins, tuple(counts[0]), tuple(counts[1]), limit, quantiles)


def said(sides: Sides) -> str:
    """The quantiles of the training rows, and the limit."""
    known = sides.quantiles
    told = (
        f"Half of the training rows have at most {plural(known.median, 'token')}, 90 % {number(known.p90)}, "
        f"99 % {number(known.p99)}, the longest {number(known.edges[-1] - 1)}"
    )
    told += f"; the limit is {number(sides.limit)}." if sides.limit is not None else "."
    edges = sides.all.edges
    widths = [end - start for start, end in pairwise(edges)]
    return f"{told} Bars to the right span more tokens." if max(widths) - min(widths) > EVEN else told


def length_picture(sides: Sides) -> Markup:
    """Both drawings."""
    return _drawn(sides, WIDE) + _drawn(sides, NARROW)


def _drawn(sides: Sides, width: float) -> Markup:
    edges = sides.all.edges
    each = min(width / (len(edges) - 1), WIDEST)
    base = HEAD + TRAIN
    low = base + (EVAL if any(sides.eval) else 0.0)
    parts = [*_bars(sides.train, edges, each, base, TRAIN, "train")]
    if any(sides.eval):
        parts += _bars(sides.eval, edges, each, base, -EVAL, "eval")
    parts += [line(0, base, width, base, "axis"), *_marks(edges, each, low, width)]
    parts += _quantiles(sides, each, base, width)
    parts += _limit(sides, width)
    return drawing(width, low + FOOT, said(sides), *parts)


def _bars(
    counts: Sequence[int], edges: Sequence[int], each: float, base: float, height: float, kind: str
) -> list[Markup]:
    """A bar a bin, above the line or, where the height is below 0, under it."""
    most = max(counts)
    words = "training" if kind == "train" else "held-out"
    found = []
    for place, count in enumerate(counts):
        tall = max(abs(height) * count / most, 1.0) if count else 0.0
        title = f"{_bin(edges, place)} tokens: {plural(count, f'{words} row')}"
        y = base - tall if height > 0 else base + 1
        if count:
            found.append(rect(place * each + 0.75, y, each - 1.5, tall, f"node {kind}", title))
    return found


def _bin(edges: Sequence[int], place: int) -> str:
    first, last = edges[place], edges[place + 1] - 1
    return number(first) if first == last else f"{number(first)} to {number(last)}"


def _marks(edges: Sequence[int], each: float, low: float, width: float) -> list[Markup]:
    """Tokens below the bars: of few bins each, of many the ends and some between them."""
    last = len(edges) - 1
    foot = [
        text(
            0 if each == WIDEST else width / 2,
            low + 34,
            "tokens of a row",
            "said",
            None if each == WIDEST else "middle",
        )
    ]
    if each == WIDEST:
        return [
            text((at + 0.5) * each, low + 18, _bin(edges, at), "tick", "middle") for at in range(last)
        ] + foot
    few = 4 if width > NARROW else 2
    places = sorted({round(last * part / few) for part in range(few + 1)})
    anchors = {0: "start", last: "end"}
    return [
        text(
            place * each,
            low + 18,
            number(edges[place] - (place == last)),
            "tick",
            anchors.get(place, "middle"),
        )
        for place in places
    ] + foot


def _place(edges: Sequence[int], each: float, tokens: int) -> float:
    """Where a length stands among bins that need not be of one width: in the middle of its own."""
    return float(np.interp(tokens + 0.5, edges, np.arange(len(edges)) * each))


def _quantiles(sides: Sides, each: float, base: float, width: float) -> list[Markup]:
    """Lines at the median and where nine rows of ten end, with one label where there is no room for two."""
    known = sides.quantiles
    half, most = (_place(sides.all.edges, each, tokens) for tokens in (known.median, known.p90))
    lines = [line(x, HEAD - 14, x, base, "mark") for x in dict.fromkeys((half, most))]
    labels = [_Label("half", half, before=half >= _room("half")), _Label.right("90 %", most, width)]
    if labels[0].end > labels[1].start:
        both = _Label.right("half, 90 %", most, width)
        labels = [replace(both, x=half) if both.before else both]
    return lines + [label.drawn() for label in labels]


def _room(name: str) -> float:
    return GAP + LETTER * len(name)


@dataclass(frozen=True, slots=True)
class _Label:
    """The name of a line at `x`, before it or behind it."""

    name: str
    x: float
    before: bool

    @classmethod
    def right(cls, name: str, x: float, width: float) -> _Label:
        """Behind the line, where the drawing has room for it there."""
        return cls(name, x, x + _room(name) > width)

    @property
    def start(self) -> float:
        return self.x - _room(self.name) if self.before else self.x

    @property
    def end(self) -> float:
        return self.start + _room(self.name)

    def drawn(self) -> Markup:
        x, anchor = (self.x - GAP, "end") if self.before else (self.x + GAP, "start")
        return text(x, HEAD - 6, self.name, "said", anchor)


def _limit(sides: Sides, width: float) -> list[Markup]:
    """The limit at the right edge, where the longest row reaches it, or how far beyond it is."""
    if sides.limit is None:
        return []
    words = f"limit {number(sides.limit)}"
    if sides.all.edges[-1] - 1 >= sides.limit:
        at = len(sides.train) * min(width / len(sides.train), WIDEST)
        anchor = "end" if at > width / 2 else "start"
        told = text(at - 5 if anchor == "end" else at + 5, 10, words, "warned", anchor)
        return [line(at, 0, at, HEAD + TRAIN, "limit"), told]
    return [text(width, 10, f"{words} →", "warned", "end")]
