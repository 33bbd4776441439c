"""Which variants a sweep has before any is built."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftc.recipe.load import load_recipe
from ftc.recipe.sweep import Sweep, SweepRange
from ftc.sweeping.space import at, extremes, grid_values, known_variants, rounded


def sweep(keys: dict[str, Any], **more: Any) -> Sweep:
    return Sweep.model_validate({"keys": keys, **more})


def test_a_grid_has_every_combination_in_the_order_of_the_recipe():
    found = known_variants(sweep({"train.epochs": [1, 2], "tune.rank": [4, 8, 16]}))
    assert [tuple(one.values()) for one in found] == [(1, 4), (1, 8), (1, 16), (2, 4), (2, 8), (2, 16)]
    assert list(found[0]) == ["train.epochs", "tune.rank"]


def test_keys_may_be_tables_and_dotted(tmp_path: Path):
    quoted = 'keys."train.learning_rate" = [1e-4]\nkeys."tune.rank" = { low = 1, high = 4, steps = 2 }\n'
    nested = "keys.train.learning_rate = [1e-4]\n[sweep.keys.tune]\nrank = { low = 1, high = 4, steps = 2 }\n"
    found = []
    for text in (quoted, nested):
        path = tmp_path / "recipe.toml"
        path.write_text(f'[model]\nbase = "a/b"\n[data]\nsources.rows = "rows.csv"\n[sweep]\n{text}')
        found.append(load_recipe(path).recipe.sweep)
    assert found[0] is not None
    assert found[0] == found[1]


def test_a_range_in_a_grid():
    assert grid_values(SweepRange(low=1e-5, high=1e-3, log=True, steps=3)) == (1e-5, 1e-4, 1e-3)
    assert grid_values(SweepRange(low=0.0, high=0.5, steps=3)) == (0.0, 0.25, 0.5)
    assert grid_values(SweepRange(low=1, high=2, steps=4)) == (1, 2)


def test_random_variants_are_the_same_each_time_and_within_the_range():
    keys = {"train.learning_rate": {"low": 1e-5, "high": 1e-2, "log": True}, "tune.rank": [4, 8]}
    found = known_variants(sweep(keys, method="random", trials=20, seed=3))
    assert found == known_variants(sweep(keys, method="random", trials=20, seed=3))
    assert found != known_variants(sweep(keys, method="random", trials=20, seed=4))
    assert len(found) == 20
    assert all(1e-5 <= one["train.learning_rate"] <= 1e-2 for one in found)
    low = sum(one["train.learning_rate"] < math.sqrt(1e-5 * 1e-2) for one in found)
    assert 4 <= low <= 16


def test_there_are_no_more_random_variants_than_there_are():
    found = known_variants(sweep({"tune.rank": [4, 8], "train.epochs": [1, 2]}, method="random", trials=9))
    assert sorted(tuple(one.values()) for one in found) == [(4, 1), (4, 2), (8, 1), (8, 2)]


def test_a_search_shows_its_ends():
    assert known_variants(sweep({"tune.rank": [4, 8]}, method="tpe")) is None
    keys = {"train.learning_rate": {"low": 1e-5, "high": 1e-3, "log": True}, "tune.rank": [4, 8, 16]}
    found = [tuple(one.values()) for one in extremes(sweep(keys, method="tpe"))]
    assert {(1e-5, 4), (1e-3, 16), (1e-5, 8), (1e-3, 8)} <= set(found)
    assert len(found) == len(set(found))


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.floats(0, 1), st.booleans())
def test_every_number_of_a_range_lies_in_it(low: float, width: float, part: float, log: bool):
    tried = SweepRange(
        low=abs(low) + 1e-3 if log else low, high=(abs(low) + 1e-3 if log else low) + width, log=log
    )
    found = at(tried, part)
    slack = max(abs(tried.low), abs(tried.high)) * 1e-3
    assert tried.low - slack <= found <= tried.high + slack


@pytest.mark.parametrize(("value", "wanted"), [(0.5, 1), (3.4, 3), (9.0, 4)])
def test_whole_numbers_stay_whole(value: float, wanted: int):
    assert rounded(value, SweepRange(low=1, high=4)) == wanted
