"""Bad input: each becomes a problem with its place, never a traceback, and nothing half-written stays."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from data_requests import CSV, Job, chat, pairs, source, write_jsonl
from ftc.data.compile import Compiled, Locations, compile_data
from ftc.facts.cache import Cache
from ftc.plan.steps import LimitStep, SplitStep

GOOD = b'{"prompt": "a", "completion": "b"}\n'
TEXTS = {"columns": {"prompt": "VARCHAR", "completion": "VARCHAR"}}


def job(directory: Path, content: bytes, name: str = "t.jsonl", **options: Any) -> Job:
    (directory / name).write_bytes(content)
    return Job(directory, (source(directory / name, options=options or None),))


def drop(one: Job, **limits: Any) -> Job:
    one.limits = LimitStep(**{"max_length": 512, "too_long": "drop", "invalid": "drop", **limits})
    return one


def codes(compiled: Compiled) -> list[str]:
    return [problem.code for problem in compiled.problems]


def assert_nothing_stored(one: Job) -> None:
    root = one.directory / "cache"
    assert not (root / "data").exists()
    assert not list((root / "staging").iterdir()) if (root / "staging").exists() else True


def test_no_rows(tmp_path: Path) -> None:
    one = job(tmp_path, b"\n", **TEXTS)
    (problem,) = one.run().problems
    assert (problem.code, problem.at) == ("FTC601", ("data", "sources", "t"))
    assert_nothing_stored(one)


def test_one_row(tmp_path: Path) -> None:
    compiled = job(tmp_path, GOOD).run()
    assert compiled.step is not None
    assert (compiled.step.train.rows, compiled.step.eval) == (1, None)


def test_one_row_that_is_held_out(tmp_path: Path) -> None:
    one = job(tmp_path, GOOD)
    one.split = SplitStep(fraction=None, rows=1, keys=("prompt",), seed=0)
    (problem,) = one.run().problems
    assert (problem.code, problem.at) == ("FTC601", ("data", "split"))


def test_a_fraction_that_holds_nothing_out(tmp_path: Path) -> None:
    one = job(tmp_path, GOOD)
    one.split = SplitStep(fraction=1e-9, rows=None, keys=("prompt",), seed=0)
    (problem,) = one.run().problems
    assert (problem.code, problem.at) == ("FTC602", ("data", "split", "eval"))
    assert any("eval = 1" in line for line in problem.help)


def test_all_rows_filtered(tmp_path: Path) -> None:
    one = job(tmp_path, GOOD * 3)
    one.sql = "select * from t where prompt = 'nothing'"
    compiled = one.run()
    (problem,) = compiled.problems
    assert (problem.code, problem.at) == ("FTC601", ("data", "query"))
    assert "none of the 3 rows" in problem.message
    assert compiled.ledger is not None
    assert compiled.ledger.lines[0].first_ids == ("t:1", "t:2", "t:3")


def test_all_rows_dropped(tmp_path: Path) -> None:
    one = drop(job(tmp_path, GOOD * 3), max_length=1)
    (problem,) = one.run().problems
    assert problem.code == "FTC601"
    assert "3 too long" in problem.message


def test_a_null(tmp_path: Path) -> None:
    content = GOOD + b'{"prompt": null, "completion": "b"}\n' + b'{"prompt": "a"}\n'
    (problem,) = job(tmp_path, content).run().problems
    assert (problem.code, problem.rows, problem.place) == ("FTC604", 2, "t:2")
    assert problem.notes == ("t:2: `prompt` is null", "t:3: `completion` is null")
    kept = drop(job(tmp_path, content)).run()
    assert kept.step is not None
    assert kept.step.train.rows == 1


def test_a_null_that_a_template_would_print(tmp_path: Path) -> None:
    one = job(tmp_path, GOOD + b'{"prompt": null, "completion": "b"}\n')
    one.render = chat(user="Q: {{ prompt }}", assistant="{{ completion }}")
    (problem,) = one.run().problems
    assert problem.code == "FTC604"
    one.render = chat(user="Q: {{ prompt or 'nothing' }}", assistant="{{ completion }}")
    assert one.run().step is not None


def test_a_template_that_fails_on_a_row(tmp_path: Path) -> None:
    one = job(tmp_path, GOOD + b'{"prompt": "", "completion": "b"}\n')
    one.render = chat(user="{{ prompt[0] }}", assistant="{{ completion }}")
    (problem,) = one.run().problems
    assert (problem.code, problem.place) == ("FTC304", "t:2")


def test_malformed_lines_are_named_by_file_and_line(tmp_path: Path) -> None:
    content = GOOD + b'{"prompt": "a", \n' + b"\n" + GOOD + b"[1, 2]\n" + b"hello\n" + GOOD
    compiled = job(tmp_path, content, **TEXTS).run()
    (problem,) = compiled.problems
    assert (problem.code, problem.rows, problem.place) == ("FTC210", 3, "data/t.jsonl:2")
    assert [note.split(":")[1] for note in problem.notes] == ["2", "5", "6"]
    assert compiled.ledger is not None
    assert compiled.ledger.unexplained == 0


def test_the_rows_around_a_malformed_line_keep_their_numbers(tmp_path: Path) -> None:
    one = drop(job(tmp_path, GOOD + b"{\n" + GOOD * 2, **TEXTS))
    one.sql = "select * from t limit 2"
    ledger = one.run().ledger
    assert ledger is not None
    assert [(line.fate, line.first_ids) for line in ledger.lines] == [
        ("invalid", ("data/t.jsonl:2",)),
        ("filtered", ("t:4",)),
    ]


def test_many_malformed_lines_are_counted_and_twenty_shown(tmp_path: Path) -> None:
    (problem,) = job(tmp_path, (GOOD + b"{\n") * 5000, **TEXTS).run().problems
    assert problem.rows == 5000
    assert len(problem.notes) == 21
    assert problem.notes[-1] == "and 4,980 more"


def test_a_value_of_another_type(tmp_path: Path) -> None:
    content = b'{"prompt": "a", "completion": "b", "n": 1}\n{"prompt": "a", "completion": "b", "n": "x"}\n'
    columns = {**TEXTS["columns"], "n": "BIGINT"}
    (problem,) = job(tmp_path, content, columns=columns).run().problems
    assert (problem.code, problem.place) == ("FTC210", "data/t.jsonl:2")
    assert "x" in problem.notes[0]


def test_invalid_utf_8_in_jsonl(tmp_path: Path) -> None:
    content = GOOD + b'{"prompt": "caf\xe9", "completion": "b"}\n'
    (problem,) = job(tmp_path, content).run().problems
    assert (problem.code, problem.place) == ("FTC211", "data/t.jsonl:2")
    assert problem.notes == ("data/t.jsonl:2: byte 16 of the line, 0xe9, is not UTF-8",)


def test_csv_lines_with_other_numbers_of_columns(tmp_path: Path) -> None:
    content = b'prompt,completion\na,b\nc\n"d\nd",e\nf,g,h\n'
    one = job(tmp_path, content, "t.csv")
    (problem,) = one.run().problems
    assert problem.code == "FTC210"
    assert problem.notes == (
        "data/t.csv:3: the line has 1 column instead of 2",
        "data/t.csv:6: the line has 3 columns instead of 2",
    )
    kept = drop(one).run()
    assert kept.step is not None
    assert (kept.step.ledger.read, kept.step.train.rows) == (4, 2)


@pytest.mark.parametrize(("encoding", "code"), [("latin-1", []), ("utf-8", ["FTC211"])])
def test_csv_in_another_encoding(tmp_path: Path, encoding: str, code: list[str]) -> None:
    content = "prompt,completion\na,b\ncafé,c\n".encode("latin-1")
    compiled = job(tmp_path, content, "t.csv", **{**CSV, "encoding": encoding}).run()
    assert codes(compiled) == code


def test_a_query_that_fails_on_a_row(tmp_path: Path) -> None:
    one = job(tmp_path, GOOD)
    one.sql = "select 'é' as x, completion, prompt::int as prompt from t"
    (problem,) = one.run().problems
    assert problem.code == "FTC213"
    assert problem.at == ("data", "query")
    assert problem.inside is not None
    assert one.sql[slice(*problem.inside)] in ("prompt::int", "::int")
    assert "'a'" in problem.message
    assert_nothing_stored(one)


def test_duplicate_and_missing_ids(tmp_path: Path) -> None:
    rows = [{**pair, "key": key} for pair, key in zip(pairs(5), ["x", "y", "x", None, "z"], strict=True)]
    one = Job(tmp_path, (source(write_jsonl(tmp_path / "t.jsonl", rows)),), id="key")
    missing, twice = one.run().problems
    assert (missing.code, missing.rows, missing.notes) == ("FTC212", 1, ("t:4",))
    assert (twice.code, twice.rows, twice.notes) == ("FTC605", 2, ("x: t:1", "x: t:3"))
    one.sql = "select * from t where key in ('y', 'z')"
    compiled = one.run()
    assert compiled.step is not None
    assert compiled.step.ledger.lines[0].first_ids == ("t:1", "t:3", "t:4")


def test_rows_that_are_too_long(tmp_path: Path) -> None:
    one = job(tmp_path, GOOD * 2 + b'{"prompt": "a", "completion": "%s"}\n' % (b"word " * 40))
    one.limits = LimitStep(max_length=20, too_long="error", invalid="error")
    (problem,) = one.run().problems
    assert (problem.code, problem.place, problem.at) == ("FTC603", "t:3", ("data", "too_long"))
    dropped = drop(one, max_length=20).run()
    assert dropped.step is not None
    assert dropped.step.train.rows == 2
    cut = drop(one, max_length=20, too_long="truncate").run()
    assert cut.step is not None
    assert (cut.step.train.rows, cut.step.train.longest) == (3, 20)
    assert [(line.fate, line.rows) for line in cut.step.ledger.lines] == [("truncated", 1)]


def test_a_row_cut_before_its_answer_trains_nothing(tmp_path: Path) -> None:
    one = drop(job(tmp_path, GOOD + b'{"prompt": "%s", "completion": "b"}\n' % (b"word " * 40)))
    one.limits = LimitStep(max_length=20, too_long="truncate", invalid="error")
    compiled = one.run()
    assert compiled.step is not None
    assert [(line.fate, line.rows) for line in compiled.step.ledger.lines] == [("untrained", 1)]


def test_a_row_of_a_megabyte(tmp_path: Path) -> None:
    one = job(tmp_path, GOOD + b'{"prompt": "a", "completion": "%s"}\n' % (b"word " * 200_000))
    one.limits = LimitStep(max_length=10_000_000, too_long="error", invalid="error")
    compiled = one.run()
    assert compiled.step is not None
    assert compiled.step.train.longest > 200_000


def test_a_broken_parquet_file(tmp_path: Path) -> None:
    import duckdb

    path = tmp_path / "t.parquet"
    duckdb.execute(f"copy (select 'a' as prompt, 'b' as completion from range(9)) to '{path}'")
    one = Job(tmp_path, (source(path),))
    request, places = one.request(), {"t": (path,)}
    data = path.read_bytes()
    path.write_bytes(data[:40] + bytes(60) + data[100:])
    compiled = compile_data(request, Locations(places, one.tokenizer), cache=Cache(tmp_path / "cache"))
    (problem,) = compiled.problems
    assert (problem.code, problem.at) == ("FTC210", ("data", "sources", "t"))
    assert str(tmp_path) not in problem.message


def full(*arguments: object, **options: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    "place",
    ["pyarrow.parquet.write_table", "ftc.data.query.ingest.ingest", "ftc.facts.cache._publish"],
)
def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    one = job(tmp_path, GOOD)
    monkeypatch.setattr(place, full)
    (problem,) = one.run().problems
    assert problem.code == "FTC702"
    assert_nothing_stored(one)


def test_a_disk_that_duckdb_finds_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import duckdb

    def fail(*_: object) -> None:
        raise duckdb.IOException('IO Error: Could not write file "x": No space left on device')

    one = job(tmp_path, GOOD)
    monkeypatch.setattr("ftc.facts.sources.base.Reading.fill", fail)
    assert codes(one.run()) == ["FTC702"]


def test_an_unwritable_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    one = job(tmp_path, GOOD)
    one.cache = Cache(tmp_path / "file" / "cache")
    assert codes(one.run()) == ["FTC708"]


def test_an_interruption_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = job(tmp_path, GOOD)

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ftc.data.kept.shards.PartWriter.close", interrupt)
        with pytest.raises(KeyboardInterrupt):
            one.run()
    assert_nothing_stored(one)
    assert one.run().step is not None


def test_every_kind_of_bad_row_comes_out_in_one_run(tmp_path: Path) -> None:
    content = (
        GOOD
        + b"{\n"
        + b'{"prompt": null, "completion": "b"}\n'
        + b'{"prompt": "\xff", "completion": "b"}\n'
        + b'{"prompt": "%s", "completion": "b"}\n' % (b"word " * 600)
    )
    assert codes(job(tmp_path, content, **TEXTS).run()) == ["FTC210", "FTC211", "FTC604", "FTC603"]
