"""A column that grows on disk has what was put into it, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ftc.lints.on_disk import GrowingColumn

PARTS = st.lists(st.lists(st.integers(-(2**31), 2**31 - 1)))


@given(PARTS)
def test_what_was_added_is_read_in_order(parts: list[list[int]]) -> None:
    column = GrowingColumn(Path(), np.int32)
    for part in parts:
        column.add(np.array(part, dtype=np.int64))
    found = column.read()
    assert found.dtype == np.int32
    assert found.tolist() == [number for part in parts for number in part]


def test_it_goes_on_after_it_was_read(tmp_path: Path) -> None:
    column = GrowingColumn(tmp_path, np.uint64)
    column.add(np.array([1, 2**64 - 1], dtype=np.uint64))
    first = column.read()
    column.add(np.array([3], dtype=np.uint64))
    assert first.tolist() == [1, 2**64 - 1]
    assert column.read().tolist() == [1, 2**64 - 1, 3]
    assert not list(tmp_path.iterdir())
