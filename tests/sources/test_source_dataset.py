"""Data sets that `datasets` itself saves, read as `datasets` reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from source_jobs import bad, good, job, problem, read, types, words

datasets = pytest.importorskip("datasets")

ROWS = [
    {
        "prompt": f"q{n} é",
        "completion": f" a{n}",
        "messages": [{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": f"a{n}"}],
    }
    for n in range(200)
]


def save(path: Path, rows: list[dict[str, Any]] = ROWS, shards: int = 3) -> Any:
    whole = datasets.Dataset.from_list(rows)
    whole.save_to_disk(path, num_shards=shards)
    return whole


def test_rows_are_those_that_datasets_reads(tmp_path: Path) -> None:
    save(tmp_path / "chats")
    source = good(tmp_path, '"chats"')
    assert source.step.format == "dataset"
    assert [file.name for file in source.step.files] == [
        "chats/state.json",
        *(f"chats/data-0000{number}-of-00003.arrow" for number in range(3)),
    ]
    assert read(source, tmp_path).rows == datasets.load_from_disk(str(tmp_path / "chats")).to_list() == ROWS
    assert types(source)["prompt"] == "VARCHAR"
    compiled = job(source, tmp_path, "select prompt, completion from t").run()
    assert compiled.ledger is not None
    assert (compiled.ledger.read, compiled.ledger.train) == (200, 200)


def test_a_shuffled_and_filtered_data_set(tmp_path: Path) -> None:
    whole = datasets.Dataset.from_list(ROWS).shuffle(seed=3).filter(lambda row: row["prompt"] < "q5")
    whole.save_to_disk(tmp_path / "chats")
    assert read(good(tmp_path, '"chats"'), tmp_path).rows == whole.to_list()


@pytest.mark.parametrize("key", ["_indices_files", "_indices_data_files"])
def test_an_order_by_indices_is_honoured(tmp_path: Path, key: str) -> None:
    # Older releases wrote the order beside the rows; this one writes the rows anew.
    save(tmp_path / "chats")
    order = [*range(199, 0, -7), 5, 5]
    indices = pa.table({"indices": pa.array(order, pa.uint64())})
    with (
        pa.OSFile(str(tmp_path / "chats" / "indices.arrow"), "wb") as file,
        pa.ipc.new_stream(file, indices.schema) as out,
    ):
        out.write_table(indices)
    state = json.loads((tmp_path / "chats" / "state.json").read_text())
    state[key] = [{"filename": "indices.arrow"}]
    (tmp_path / "chats" / "state.json").write_text(json.dumps(state))
    source = good(tmp_path, '"chats"')
    assert source.step.files[-1].name == "chats/indices.arrow"
    assert read(source, tmp_path).rows == [ROWS[number] for number in order]


def test_a_split_of_several(tmp_path: Path) -> None:
    both = datasets.DatasetDict(
        {"train": datasets.Dataset.from_list(ROWS[:150]), "test": datasets.Dataset.from_list(ROWS[150:])}
    )
    both.save_to_disk(tmp_path / "chats")
    finding = bad(tmp_path, '"chats"')
    assert finding.code == "FTC106"
    assert 'split = "train"' in words(finding)
    assert "did you mean `train`?" in words(bad(tmp_path, '{ path = "chats", split = "trian" }'))
    source = good(tmp_path, '{ path = "chats", split = "test" }')
    assert source.step.options == {"split": "test"}
    assert read(source, tmp_path).rows == ROWS[150:]


def test_the_only_split_needs_no_word(tmp_path: Path) -> None:
    datasets.DatasetDict({"train": datasets.Dataset.from_list(ROWS)}).save_to_disk(tmp_path / "chats")
    source = good(tmp_path, '"chats"')
    (choice,) = source.choices
    assert (choice.key, choice.value) == ("data.sources.t.split", "train")
    assert read(source, tmp_path).rows == ROWS


def test_what_is_no_saved_data_set(tmp_path: Path) -> None:
    save(tmp_path / "chats")
    assert bad(tmp_path, '{ path = "chats", split = "train" }').code == "FTC107"
    (tmp_path / "chats" / "data-00001-of-00003.arrow").unlink()
    assert "`data-00001-of-00003.arrow` is missing" in bad(tmp_path, '"chats"').message
    (tmp_path / "chats" / "state.json").write_text("{}")
    assert "is not what `save_to_disk` writes" in bad(tmp_path, '"chats"').message
    (tmp_path / "empty").mkdir()
    assert "is no saved data set" in bad(tmp_path, '{ path = "empty", format = "dataset" }').message


def test_a_data_set_without_rows(tmp_path: Path) -> None:
    datasets.Dataset.from_list(ROWS).select([]).save_to_disk(tmp_path / "none")
    assert "has no rows" in problem(good(tmp_path, '"none"'))
