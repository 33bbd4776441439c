"""The histogram of row lengths on the screen and in JSON."""

from __future__ import annotations

from ftc.cli.length_view import length_lines, lengths_json
from ftc.data.packing.lengths import Lengths

EVEN = Lengths(edges=(11, 15, 19, 23, 27), counts=(4, 800, 0, 100), median=16, p90=26, p99=26)


def test_a_bar_a_bin_over_the_shortest_and_the_longest_row() -> None:
    assert length_lines(EVEN, 69) == [
        "half of the training rows have at most 16 tokens, 90 % 26, 99 % 26",
        "▁█ ▁",
        "11 26",
    ]


def test_bins_that_grow_are_named() -> None:
    wide = Lengths(edges=(1, 10, 100, 4001), counts=(1, 2, 1), median=50, p90=4000, p99=4000)
    assert length_lines(wide, 69)[-1] == "1 4,000  (bars to the right span more tokens)"


def test_json_has_all_figures() -> None:
    assert lengths_json(EVEN) == {
        "edges": [11, 15, 19, 23, 27],
        "counts": [4, 800, 0, 100],
        "median": 16,
        "p90": 26,
        "p99": 26,
    }
    assert lengths_json(None) is None
