"""How long the training rows are, on the screen and in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftc.cli.layout import number, pad, wrap

if TYPE_CHECKING:
    from ftc.data.packing.lengths import Lengths

BARS = " ▁▂▃▄▅▆▇█"
EVEN = 2
"""Bins are of one width where the widest is at most so many tokens wider than the narrowest."""


def length_lines(lengths: Lengths, width: int) -> list[str]:
    """Quantiles in words, a bar for each bin, and the shortest and the longest row below its ends."""
    first, last = number(lengths.edges[0]), number(lengths.edges[-1] - 1)
    said = (
        f"half of the training rows have at most {number(lengths.median)} tokens, "
        f"90 % {number(lengths.p90)}, 99 % {number(lengths.p99)}"
    )
    bars = "".join(_bar(count, max(lengths.counts)) for count in lengths.counts)
    widths = [end - start for start, end in zip(lengths.edges, lengths.edges[1:], strict=False)]
    scale = "" if max(widths) - min(widths) <= EVEN else "  (bars to the right span more tokens)"
    room = max(len(bars) - len(first), len(last) + 1)
    return [*wrap(said, width), bars, f"{first}{pad(last, room, right=True)}{scale}"]


def _bar(count: int, most: int) -> str:
    """A bar of a height in proportion; what there is at all is seen."""
    return BARS[max(round(count / most * (len(BARS) - 1)), 1)] if count else BARS[0]


def lengths_json(lengths: Lengths | None) -> dict[str, Any] | None:
    """The histogram: `counts[i]` rows have `edges[i]` up to, but not, `edges[i + 1]` tokens."""
    if lengths is None:
        return None
    return {
        "edges": list(lengths.edges),
        "counts": list(lengths.counts),
        "median": lengths.median,
        "p90": lengths.p90,
        "p99": lengths.p99,
    }
