"""Which compiled rows came, went or changed, held to sets and dictionaries of plain Python."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from ftc.data.kept.row_differences import FIRST, Rows, row_differences
from ftc.plan.account import Ledger
from ftc.plan.steps import DataStep
from tiny_plan import write_part

Sides = dict[str, tuple[str, tuple[int, ...], tuple[bool, ...]]]
"""Rows by id: side, tokens, mask."""

compiled = st.dictionaries(
    st.sampled_from([f"t:{n}" for n in range(1, 9)] + ["t:3/1", "t:3/2", "a b%", "ü"]),
    st.tuples(
        st.sampled_from(["train", "eval"]),
        st.lists(st.integers(1, 3), min_size=1, max_size=2).map(tuple),
        st.booleans(),
    ).map(lambda row: (row[0], row[1], tuple([row[2]] * len(row[1])))),
    max_size=10,
)
dropped = st.dictionaries(
    st.sampled_from([f"t:{n}" for n in range(1, 9)]), st.sampled_from(["filtered", "too_long"])
)


def written(directory: Path, rows: Sides, gone: dict[str, str]) -> Rows:
    def part(side: str) -> Any:
        listed = [
            {"id": id_, "input_ids": list(tokens), "mask": list(mask), "prompt_length": None, "target": None}
            for id_, (where, tokens, mask) in rows.items()
            if where == side
        ]
        return write_part(directory, side, listed)

    train, held_out = part("train"), part("eval")
    columns = {"id": list(gone), "fate": list(gone.values()), "reason": ["why"] * len(gone)}
    schema = pa.schema([(name, pa.string()) for name in columns])
    pq.write_table(pa.Table.from_pydict(columns, schema), directory / "dropped.parquet")
    ledger = Ledger(
        sources=(), read=train.rows + held_out.rows, lines=(), train=train.rows, eval=held_out.rows
    )
    return Rows(
        DataStep(train=train, eval=held_out or None, ledger=ledger, labels=None, longest_target=0), directory
    )


def whole(id_: str, gone: dict[str, str]) -> str:
    """The fate of an id in the other ledger, or of the row of which it is a piece."""
    return gone.get(id_) or gone.get(id_.rpartition("/")[0]) or ""


@settings(max_examples=40, deadline=None)
@given(old=compiled, new=compiled, gone=st.tuples(dropped, dropped))
def test_differences_are_those_of_plain_dictionaries(
    tmp_path_factory: Any, old: Sides, new: Sides, gone: tuple[dict[str, str], dict[str, str]]
) -> None:
    directory = tmp_path_factory.mktemp("rows")
    sides = [
        written(directory / name, rows, went) for name, rows, went in zip("on", (old, new), gone, strict=True)
    ]
    found = row_differences(*sides, directory)
    came, went = set(new) - set(old), set(old) - set(new)
    both = set(old) & set(new)
    changed = {id_ for id_ in both if old[id_][1:] != new[id_][1:]}
    moved = {id_ for id_ in both if old[id_][0] != new[id_][0]}
    for ids, told in ((came, found.came), (went, found.went), (changed, found.changed), (moved, found.moved)):
        assert told.rows == len(ids)
        assert set(told.first) <= ids
        assert len(told.first) == min(FIRST, len(ids))
    assert found.same == len(both - changed - moved)
    assert found.any == (old != new)
    if old != new:
        assert found.came_from == Counter(whole(id_, gone[0]) for id_ in came)
        assert found.went_to == Counter(whole(id_, gone[1]) for id_ in went)
    contents = [
        Counter(rows[id_][1:] for id_ in ids) for rows, ids in ((old, went | changed), (new, came | changed))
    ]
    assert found.elsewhere == (contents[0] & contents[1]).total()


def test_first_ids_stand_in_the_order_of_the_rows(tmp_path: Path) -> None:
    rows: Sides = {f"t:{n}": ("train", (n,), (True,)) for n in range(1, 30)}
    old = written(tmp_path / "old", {}, {})
    found = row_differences(old, written(tmp_path / "new", rows, {}), tmp_path)
    assert found.came.first == ("t:1", "t:2", "t:3", "t:4", "t:5")
    assert found.came_from == {"": 29}


def test_rows_that_are_not_there_are_not_at_hand(tmp_path: Path) -> None:
    rows = written(tmp_path / "old", {"t:1": ("train", (1,), (True,))}, {})
    assert rows.at_hand
    (tmp_path / "old" / "train-00000.parquet").write_bytes(b"")
    assert not rows.at_hand


def test_a_ledger_that_is_gone_tells_no_fates(tmp_path: Path) -> None:
    old = written(tmp_path / "old", {"t:1": ("train", (1,), (True,))}, {})
    new = written(tmp_path / "new", {}, {"t:1": "filtered"})
    assert row_differences(old, new, tmp_path).went_to == {"filtered": 1}
    (tmp_path / "new" / "dropped.parquet").unlink()
    (tmp_path / "rows.duckdb").unlink()
    assert row_differences(old, new, tmp_path).went_to == {}
