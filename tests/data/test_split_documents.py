"""`too_long = "split"`: a long document becomes several rows, and no token of it is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_requests import Job, source, write_jsonl
from ftc.data.kept.shards import CompiledRow, read_rows
from ftc.data.ragged import offsets_of
from ftc.data.tokens.limit import limited
from ftc.data.tokens.tokenise import Tokens
from ftc.plan.steps import LimitStep, RenderStep, SplitStep

TEXT = RenderStep(
    form="text",
    fields={"text": None},
    chat_template=None,
    variables={},
    train_on="all",
    unproved="error",
)


def compiled(job: Job, too_long: str, most: int) -> list[CompiledRow]:
    job.limits = LimitStep.model_validate({"max_length": most, "too_long": too_long, "invalid": "error"})
    done = job.run()
    assert done.step is not None, done.problems
    assert done.directory is not None
    return list(read_rows(done.directory, done.step.train))


@pytest.fixture
def job(tmp_path: Path) -> Job:
    texts = ["short", "a long text " * 40, "", "another " * 9, "the last of them " * 12]
    path = write_jsonl(tmp_path / "t.jsonl", [{"text": text} for text in texts if text])
    one = Job(tmp_path, (source(path),), render=TEXT)
    one.split = SplitStep(fraction=None, rows=None, keys=(), seed=0)
    return one


def test_the_parts_of_a_document_are_the_document(job: Job) -> None:
    whole = {row.id: row.input_ids for row in compiled(job, "error", 500)}
    parts = compiled(job, "split", 32)
    assert [row.id for row in parts[:3]] == ["t:1", "t:2/1", "t:2/2"]
    assert max(len(row.input_ids) for row in parts) == 32
    joined: dict[str, tuple[int, ...]] = {}
    for row in parts:
        id_ = row.id.partition("/")[0]
        joined[id_] = joined.get(id_, ()) + row.input_ids
        assert (row.prompt_length, row.target, all(row.mask[1:]), row.mask[0]) == (None, None, True, False)
    assert {len(tokens) % 32 == 1 for tokens in whole.values()} == {True, False}
    for id_, tokens in whole.items():
        alone = len(tokens) % 32 == 1  # the last token, which nothing before it in its row predicts
        assert joined[id_] == tokens[: len(tokens) - alone]
        numbers = [row.id for row in parts if row.id.partition("/")[0] == id_]
        count = -(-len(joined[id_]) // 32)
        assert numbers == ([id_] if count == 1 else [f"{id_}/{n}" for n in range(1, count + 1)])


def test_the_ledger_tells_what_was_split(job: Job) -> None:
    job.limits = LimitStep(max_length=32, too_long="split", invalid="error")
    done = job.run()
    assert done.step is not None
    ledger = done.step.ledger
    (line,) = ledger.lines
    assert (line.fate, line.rows, line.first_ids[0]) == ("split", 3, "t:2")
    assert ledger.read == 4
    assert ledger.train == done.step.train.rows == 4 + line.more
    assert ledger.unexplained == 0


rows = st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=12), min_size=1, max_size=8)


@given(rows=rows, most=st.integers(2, 6))
def test_every_trainable_part_of_a_split_row_is_kept_once(rows: list[list[int]], most: int) -> None:
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    flat = np.arange(lengths.sum(), dtype=np.int32)
    mask = np.array([flag for row in rows for flag in row], dtype=np.uint8)
    offsets = offsets_of(lengths)
    tokens = Tokens(flat, mask, offsets, np.full(len(rows), -1, dtype=np.int32))
    found = limited(tokens, LimitStep(max_length=most, too_long="split", invalid="drop"))
    parts = {  # the first token of a part is not trained, and a part in which none is goes
        (row, start): [0, *flags[start + 1 : start + most]]
        for row, flags in enumerate(rows)
        for start in range(0, len(flags), most)
    }
    kept = [
        row
        for row in range(len(rows))
        if any(any(flags) for place, flags in parts.items() if place[0] == row)
    ]
    left = {place: flags for place, flags in parts.items() if any(flags)}
    assert found.rows.tolist() == [row for row, _ in left]
    assert sorted(found.refusals) == [row for row in range(len(rows)) if row not in kept]
    starts = [(offsets[row] + start, len(flags)) for (row, start), flags in left.items()]
    assert found.tokens.tokens.tolist() == [token for at, n in starts for token in range(at, at + n)]
    assert found.tokens.mask.tolist() == [flag for flags in left.values() for flag in flags]
    assert np.diff(found.tokens.offsets).max(initial=0) <= most
    assert found.cut == {row: len(rows[row]) for row in kept if len(rows[row]) > most}
