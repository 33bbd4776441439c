"""The histogram of row lengths against NumPy's own histogram and quantiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftc.data.packing.lengths import histogram, read_lengths
from ftc.data.packing.sizes import Sizes
from ftc.facts.cache import Cache

LENGTHS = st.lists(st.integers(1, 5000), min_size=1, max_size=300)


@given(LENGTHS, st.integers(1, 60))
def test_counts_and_quantiles(values: list[int], bins: int) -> None:
    lengths = np.array(values, dtype=np.int32)
    found = histogram(lengths, bins)
    assert found is not None
    assert len(found.counts) == len(found.edges) - 1 <= bins
    assert (found.edges[0], found.edges[-1]) == (min(values), max(values) + 1)
    # NumPy's last bin is closed, and ours ends behind the longest row
    assert found.counts == tuple(np.histogram(lengths, bins=np.array(found.edges) - 0.5)[0].tolist())
    for part, value in ((0.5, found.median), (0.9, found.p90), (0.99, found.p99)):
        assert value == np.quantile(lengths, part, method="inverted_cdf")


def test_bins_grow_where_lengths_differ_widely() -> None:
    found = histogram(np.array([2, 4000], dtype=np.int32), 40)
    assert found is not None
    widths = np.diff(found.edges)
    assert widths[-1] > 100 * widths[0]
    assert (np.diff(widths) >= -1).all()


def test_no_rows_have_no_histogram() -> None:
    assert histogram(np.zeros(0, dtype=np.int32)) is None


def test_it_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = np.array([3, 5, 5, 9], dtype=np.int32)
    Sizes(lengths, np.ones(4, dtype=np.int32)).write(tmp_path)
    with Cache(tmp_path / "cache") as cache:
        first = read_lengths(tmp_path, cache)
        monkeypatch.setattr(Sizes, "read", None)
        assert read_lengths(tmp_path, cache) == first == histogram(lengths)
