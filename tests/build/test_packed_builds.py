"""Builds with packing, from recipe to run directory, on a model of random weights."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from crashes import launch_here

import ftc
from ftc.data.columns import list_numbers

pytestmark = pytest.mark.usefixtures("here")
QUESTIONS = ["the fox", "what is the capital of this country?", "the quick brown dog jumps over the lazy fox"]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime in this process."""
    monkeypatch.setattr("ftc.artifact.build.launch", launch_here)


def recipe(directory: Path, name: str, base: Path, data: str, train: str) -> Path:
    path = directory / f"{name}.toml"
    path.write_text(f'[model]\nbase = "{base}"\n[data]\n{data}\n[train]\n{train}\n', encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Chats of different lengths, and documents of which some are long."""
    directory = tmp_path_factory.mktemp("packed")
    chats = [
        {"prompt": QUESTIONS[i % 3] * (1 + i % 4), "completion": " the dog" * (1 + i % 3)} for i in range(40)
    ]
    texts = [{"text": f"the number {i} of the quick brown foxes. " * (1 + 6 * (i % 3))} for i in range(30)]
    for name, rows in (("chats", chats), ("texts", texts)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (directory / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    return directory


def losses(result: ftc.BuildResult) -> list[dict[str, float]]:
    assert result.status == "built", result.findings
    assert result.run is not None
    return [json.loads(line) for line in (result.run / "metrics.jsonl").read_text().splitlines()]


def lists(result: ftc.BuildResult) -> list[list[int]]:
    assert result.run is not None
    column = pq.read_table(result.run / "data" / "sequences.parquet").column("rows").combine_chunks()
    rows, offsets = list_numbers(column)
    return [rows[a:b].tolist() for a, b in pairwise(offsets.tolist())]


def test_packed_and_padded_builds_learn_the_same(directory: Path, tiny_model: Path) -> None:
    """Each step takes every row; only the way in which they are laid out differs."""
    data, train = (
        'sources.chats = "chats.jsonl"',
        "steps = 2\nbatch = 40\nsave_every = 2\nlearning_rate = 1e-3",
    )
    plain = recipe(directory, "plain", tiny_model, data, train + "\nmicro_batch = 8")
    padded = ftc.build(plain, runs=directory / "runs")
    more = "\npacking = true\nmax_length = 100"
    packed = ftc.build(recipe(directory, "joined", tiny_model, data + more, train), runs=directory / "runs")
    for one, other in zip(losses(padded), losses(packed), strict=True):
        assert other["tokens"] == one["tokens"]
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-5)
        assert other["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-4)
    assert sorted(row for part in lists(packed) for row in part) == list(range(40))
    assert packed.plan is not None
    assert packed.plan.data is not None
    sequences = packed.plan.data.sequences
    assert sequences is not None
    assert (sequences.capacity, sequences.count) == (100, len(lists(packed)))
    assert packed.run is not None
    readme = (packed.run / "README.md").read_text(encoding="utf-8")
    assert f"| packed in sequences | {sequences.count} | 100 tokens each at most" in readme
    assert "data/sequences.parquet" in (packed.run / "MANIFEST.sha256").read_text(encoding="utf-8")


def test_another_layout_compiles_no_row(directory: Path, tiny_model: Path) -> None:
    data, train = 'sources.chats = "chats.jsonl"', "epochs = 1"
    first = ftc.plan(recipe(directory, "first", tiny_model, data, train))
    stages: list[str] = []
    packed = recipe(directory, "second", tiny_model, data + "\npacking = true", train)
    second = ftc.plan(packed, progress=lambda stage, *_: stages.append(stage))
    assert second.ok
    assert second.data == first.data
    assert "compiling rows" not in stages
    assert first.sequences is None
    assert second.sequences is not None
    assert (second.sequences / "sequences.parquet").is_file()


def test_documents_are_split_and_their_pieces_packed(directory: Path, tiny_model: Path) -> None:
    """Continued pretraining: pieces are rows of their own, and no row sees another."""
    data = 'sources.texts = "texts.jsonl"\nsplit = { eval = 4 }\n'
    data += 'max_length = 64\ntoo_long = "split"\npacking = true'
    result = ftc.build(
        recipe(directory, "documents", tiny_model, data, "batch = 2\nepochs = 1"), runs=directory / "runs"
    )
    steps = losses(result)
    assert result.plan is not None
    assert result.plan.data is not None
    compiled, sequences = result.plan.data, result.plan.data.sequences
    assert sequences is not None
    assert compiled.ledger.more > 0
    assert compiled.train.longest == sequences.capacity == 64
    assert sequences.utilisation > 0.9
    assert sorted(row for part in lists(result) for row in part) == list(range(compiled.train.rows))
    assert sum(step["tokens"] for step in steps) == compiled.train.tokens
    assert len(steps) == -(-sequences.count // 2)


def test_a_mix_repeats_rows_in_sequences(directory: Path, tiny_model: Path) -> None:
    """Rows that a mix takes several times are listed as often; their sizes are those of the shards."""
    from ftc.data.packing.sizes import Sizes

    data = (
        'sources.chats = "chats.jsonl"\n'
        'mix.few = { query = "select prompt, completion from chats limit 5", weight = 1, repeat = 4 }\n'
        'mix.many = { query = "select prompt, completion from chats", weight = 2 }'
    )
    for name, more, capacity in (
        ("mixed", "", None),
        ("mixed-packed", "\npacking = true\nmax_length = 200", 200),
    ):
        result = ftc.plan(recipe(directory, name, tiny_model, data + more, "epochs = 1"))
        assert result.ok, result.findings
        assert result.plan is not None
        assert result.plan.data is not None
        assert result.data is not None
        train, sequences = result.plan.data.train, result.plan.data.sequences
        assert train.repeats > 0
        assert sequences is not None
        assert (sequences.capacity, sequences.rows) == (capacity, train.rows + train.repeats)
        sizes = Sizes.read(result.data)
        tables = [
            pq.read_table(result.data / shard.file.name, columns=["input_ids"]) for shard in train.shards
        ]
        lengths = [len(ids) for table in tables for ids in table["input_ids"].to_pylist()]
        assert sizes.lengths.tolist() == lengths
        assert sizes.repeats == train.repeats
        assert sequences.tokens == int(sizes.lengths @ sizes.copies)
