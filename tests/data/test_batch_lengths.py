"""The lengths of batches against the compiled rows, read one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_requests import Job, chat, pairs, source, write_jsonl
from ftc.data.compile import Compiled
from ftc.data.kept.batch_lengths import batch_lengths
from ftc.data.kept.shards import CompiledRow, read_rows
from ftc.data.packing.laid_out import laid_out
from ftc.data.packing.sizes import SIZES
from ftc.facts.cache import Cache
from ftc.plan.steps import RenderStep, SplitStep

HELD = SplitStep(fraction=0.4, rows=None, keys=("prompt",), seed=0)


def compiled(root: Path, render: RenderStep | None = None) -> Compiled:
    rows = [{**pair, "completion": "yes" if n % 3 else " no "} for n, pair in enumerate(pairs(60))]
    job = Job(root, (source(write_jsonl(root / "t.jsonl", rows)),))
    job.split = HELD
    if render is not None:
        job.render = render
    return job.run()


@pytest.mark.parametrize("form", [None, chat(user="{{ prompt }}", assistant="{{ completion }}")])
def test_held_out_rows_have_their_prompts_and_their_loss(tmp_path: Path, form: RenderStep | None) -> None:
    done = compiled(tmp_path, form)
    assert done.step is not None
    assert done.step.eval is not None
    assert done.directory is not None
    found = batch_lengths(done.directory, None, done.step, ("yes", "no", "never"))
    train = list(read_rows(done.directory, done.step.train))
    held = list(read_rows(done.directory, done.step.eval))
    assert found.rows.tolist() == [len(row.input_ids) for row in train]
    assert found.sequences is None
    (done.directory / SIZES).unlink()
    assert batch_lengths(done.directory, None, done.step).rows.tolist() == found.rows.tolist()
    assert found.heldout is not None
    assert found.heldout.lengths.tolist() == [len(row.input_ids) for row in held]
    assert found.heldout.prompts.tolist() == [row.prompt_length or 0 for row in held]
    assert found.heldout.first.tolist() == [row.mask.index(True) for row in held]
    assert found.heldout.end.tolist() == [trained_end(row) for row in held]
    by_answer = {(row.target or "").strip(): trained_end(row) - (row.prompt_length or 0) for row in train}
    assert found.labels == (by_answer["yes"], by_answer["no"], done.step.longest_target + 1)


def trained_end(row: CompiledRow) -> int:
    return len(row.mask) - row.mask[::-1].index(True)


def test_packed_rows_stand_in_the_order_of_their_sequences(tmp_path: Path) -> None:
    done = compiled(tmp_path)
    assert done.step is not None
    assert done.directory is not None
    with Cache(tmp_path / "cache") as cache:
        step, directory = laid_out(done.directory, 64, cache)
        data = done.step.model_copy(update={"sequences": step})
        found = batch_lengths(done.directory, directory, data)
    assert found.sequences is not None
    assert found.sequences.sum() == len(found.rows) == done.step.train.rows
    assert (found.tokens, found.units) == (done.step.train.tokens, step.count)
    ends = found.sequences.cumsum()
    tokens = [found.rows[end - count : end].sum() for end, count in zip(ends, found.sequences, strict=True)]
    assert max(tokens) == step.longest <= 64
