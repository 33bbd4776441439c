"""The way of a row, from the row of its source to its tokens and its sequence, for ids of every kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from data_requests import Job, pairs, source, write_jsonl
from ftc.data.kept import lookup
from ftc.data.kept.lineage import CompiledRows, Lineage, trace_rows
from ftc.data.kept.lookup import Place, chosen, ids_at, places, rows_at, with_fates
from ftc.data.packing.laid_out import laid_out
from ftc.facts.cache import Cache
from ftc.plan.steps import DedupeStep, LimitStep, SampleStep, SelectionStep, SplitStep

DROPPING = LimitStep(max_length=512, too_long="drop", invalid="drop")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path, (source(write_jsonl(tmp_path / "t.jsonl", pairs(40))),))


def compiled(job: Job, *, capacity: int | None = None) -> CompiledRows:
    done = job.run()
    assert done.problems == ()
    assert done.step is not None
    assert done.directory is not None
    step, sequences = done.step, None
    if capacity is not None:
        made, sequences = laid_out(done.directory, capacity, Cache(job.directory / "cache"))
        step = step.model_copy(update={"sequences": made})
    paths = {one.step.name: one.paths for one in job.sources}
    from ftc.data.compile import Locations

    return CompiledRows(job.request(), Locations(paths, job.tokenizer), step, done.directory, sequences)


def trace(rows: CompiledRows, job: Job, *ids: str) -> list[Lineage]:
    found, findings = trace_rows(rows, ids, Cache(job.directory / "cache"))
    assert findings == ()
    return list(found)


def missing(rows: CompiledRows, job: Job, id_: str) -> str:
    found, (finding,) = trace_rows(rows, (id_,), Cache(job.directory / "cache"))
    assert found == ()
    assert finding.code == "FTC607"
    return finding.help[0]


def test_a_row_of_a_source_keeps_its_number(job: Job) -> None:
    job.sql = "select upper(prompt) as prompt, completion from t where n % 3 = 1 order by n desc"
    rows = compiled(job)
    (way,) = trace(rows, job, "t:5")
    assert way.source is not None
    assert (way.source.source, way.source.number) == ("t", 5)
    assert way.source.values == pairs(40)[4]
    assert way.values == {"prompt": "WHAT IS THE CAPITAL OF COUNTRY 4?", "completion": " the city 4"}
    (example,) = way.examples
    assert (way.side, way.fate, example.id) == ("train", None, "t:5")
    tokenizer = Tokenizer.from_file(str(job.tokenizer))
    text = "".join(text for text, _ in example.tokens)
    assert text == "WHAT IS THE CAPITAL OF COUNTRY 4? the city 4<|im_end|>"
    assert [token.id for token in example.each] == tokenizer.encode(text).ids
    assert "".join(token.text for token in example.each) == text
    assert [token.trained for token in example.each].count(True) == example.trained


def test_a_row_that_the_query_leaves_out_is_shown_as_the_source_has_it(job: Job) -> None:
    job.sql = "select * from t where n > 4"
    (way,) = trace(compiled(job), job, "t:2")
    assert (way.fate, way.reason) == ("filtered", "the query leaves the row out")
    assert way.source is not None
    assert way.source.values == pairs(40)[1]
    assert (way.values, way.examples, way.side, way.text) == (None, (), None, ())


def test_a_line_that_cannot_be_read_is_shown_as_it_stands(job: Job) -> None:
    path = job.sources[0].paths[0]
    lines = path.read_text(encoding="utf-8").splitlines()
    lines.insert(3, '{"n": 1, "prompt": é')
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    job.sources = (source(path),)
    job.limits = DROPPING
    bad, good = trace(compiled(job), job, "data/t.jsonl:4", "t:5")
    assert bad.source is not None
    assert (bad.fate, bad.source.number, bad.source.text) == ("invalid", 4, '{"n": 1, "prompt": é')
    assert good.source is not None
    assert good.source.values == pairs(40)[3]


@pytest.mark.parametrize(
    ("change", "id_", "fate"),
    [
        ({"sample": SampleStep(fraction=None, rows=1)}, None, "sampled_out"),
        ({"dedupe": DedupeStep(method="exact", columns=("completion",))}, "t:8", "duplicate"),
    ],
)
def test_rows_that_are_not_selected_would_have_been_rendered(
    job: Job, change: dict[str, Any], id_: str | None, fate: str
) -> None:
    job.selection = SelectionStep(**{"sample": None, "dedupe": None, "seed": 0, **change})
    rows = compiled(job)
    one = with_fates(rows.directory, (fate,), 1)[0]
    (way,) = trace(rows, job, id_ or one.id)
    assert way.fate == fate
    assert [trained for _, trained in way.text] == [False, True]
    assert way.values is not None
    assert way.text[0][0] == way.values["prompt"]


def test_a_row_that_is_too_long_says_so_and_is_shown(job: Job) -> None:
    job.limits = DROPPING.model_copy(update={"max_length": compiled(job).step.train.longest - 1})
    rows = compiled(job)
    (gone, *_) = with_fates(rows.directory, ("too_long",), 1)
    (way,) = trace(rows, job, gone.id)
    assert (way.fate, way.reason) == ("too_long", gone.reason)
    assert way.text[0][0].startswith("what is the capital of country")


def test_ids_of_the_recipe_s_own_column(job: Job) -> None:
    job.sql, job.id = "select 'k/' || n as key, * from t where n > 2", "key"
    own, gone = trace(compiled(job), job, "k/7", "t:1")
    assert (own.id, gone.id) == ("k/7", "t:1")
    assert own.source is not None
    assert own.source.number == 8
    assert gone.fate == "filtered"


def test_ids_of_content_and_of_equal_rows(job: Job) -> None:
    job.sql = "select 'p' as prompt, 'c' || n % 2 as completion from t cross join (select 1)"
    rows = compiled(job)
    (first, *_) = rows_at(rows.directory, rows.step.train, [0])
    expected = duckdb.sql("select md5(to_json({'prompt': 'p', 'completion': 'c0'})::varchar)").fetchall()[0][
        0
    ]
    assert first.id.split("#")[0] in {expected, first.id}
    again, same = trace(rows, job, f"{expected}#3", expected)
    assert again.values == same.values == {"prompt": "p", "completion": "c0"}
    assert again.source is None
    assert [example.id for way in (again, same) for example in way.examples] == [f"{expected}#3", expected]


def test_ids_of_a_mix_carry_the_query_s_name(job: Job) -> None:
    job.mix = {
        "old": ("select * from t where n < 8", 1.0, 1),
        "new": ("select * from t where n > 30", 1.0, 1),
    }
    rows = compiled(job)
    old, gone = trace(rows, job, "old/t:3", "new/t:3")
    assert (old.query, gone.query, gone.fate) == ("old", "new", "filtered")
    assert missing(rows, job, "t:3") == "did you mean `old/t:3` or `new/t:3`?"


def test_parts_of_a_split_document_lead_to_one_row(job: Job) -> None:
    job.sql = "select repeat(prompt, 3) as text from t"
    job.render = job.render.model_copy(update={"form": "text", "fields": {"text": None}, "train_on": "all"})
    job.limits = LimitStep(max_length=10, too_long="split", invalid="drop")
    rows = compiled(job)
    whole, part = trace(rows, job, "t:4", "t:4/2")
    assert len(whole.examples) > 2
    assert [example.id for example in part.examples] == ["t:4/2"]
    assert whole.id == part.id == "t:4"
    assert [change.fate for change in whole.changes] == ["split"]
    text = "".join(piece for example in whole.examples for piece, _ in example.tokens)
    assert text == pairs(40)[3]["prompt"] * 3 + "<|im_end|>"
    assert missing(rows, job, "t:4/99") == "did you mean `t:4/1` or `t:4/2` or `t:4/3`?"


@pytest.mark.parametrize(
    ("split", "side", "words"),
    [
        ({}, "train", "nothing is held out"),
        ({"fraction": 0.5}, None, "the hash of its `prompt` is 0."),
        ({"rows": 7, "keys": ("n", "prompt")}, None, "the smallest 7 are held out"),
        ({"fraction": 0.5, "stratify": "half"}, None, "of each `half` in proportion"),
    ],
)
def test_the_side_comes_with_its_reason(
    job: Job, split: dict[str, Any], side: str | None, words: str
) -> None:
    job.sql = "select *, n % 2 as half from t"
    job.split = SplitStep(**{"fraction": None, "rows": None, "keys": ("prompt",), "seed": 0, **split})
    (way,) = trace(compiled(job), job, "t:5")
    assert words in way.why
    assert side in (None, way.side)


def test_the_hash_that_is_shown_decides(job: Job) -> None:
    job.split = SplitStep(fraction=0.4, rows=None, keys=("prompt",), seed=0)
    for way in trace(compiled(job), job, *(f"t:{n}" for n in range(1, 13))):
        place = float(way.why.partition(" is ")[2].split()[0])
        assert (place < 0.4) is (way.side == "eval")


def test_the_sequence_of_a_row_names_its_neighbours(job: Job) -> None:
    rows = compiled(job, capacity=90)
    ways = trace(rows, job, *(f"t:{n}" for n in range(1, 41)))
    packed = {way.id: way.examples[0].packed for way in ways}
    assert rows.sequences is not None
    file = pq.read_table(rows.sequences / "sequences.parquet").column("rows").to_pylist()
    for id_, sequence in packed.items():
        assert sequence is not None
        assert id_ in sequence.rows
        assert [f"t:{number + 1}" for number in file[sequence.number]] == list(sequence.rows)
        lengths = {way.id: way.examples[0].length for way in ways}
        assert sequence.tokens == sum(lengths[row] for row in sequence.rows) <= 90
        assert sequence.of == len(file)


def test_an_unknown_id_is_a_finding_that_helps(job: Job) -> None:
    rows = compiled(job)
    assert missing(rows, job, "T:3") == "did you mean `t:3`?"
    assert missing(rows, job, "t:41") == "`t` has 40 rows"
    assert missing(rows, job, "nonsense") == "ids are t:NUMBER; `ftc show` prints them"


def many(tmp_path: Path, count: int) -> tuple[Job, CompiledRows]:
    job = Job(tmp_path, (source(write_jsonl(tmp_path / "t.jsonl", pairs(count))),))
    return job, compiled(job)


def test_a_row_is_found_without_reading_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, rows = many(tmp_path, 9000)
    assert pq.ParquetFile(rows.directory / "train-00000.parquet").num_row_groups > 2
    read: list[Any] = []
    real = pq.ParquetFile.read_row_group

    def group(file: Any, number: int, **options: Any) -> Any:
        read.append(number)
        return real(file, number, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", group)
    asked: list[list[str]] = []
    iterate = pq.ParquetFile.iter_batches

    def batches(file: Any, size: int, columns: list[str]) -> Any:
        asked.append(columns)
        return iterate(file, size, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", batches)
    (shown,) = rows.viewer.by_id(["t:8999"])["t:8999"]
    assert shown.id == "t:8999"
    assert read == [2]
    assert asked == [["id"]]


@given(st.lists(st.integers(0, 8999), min_size=1, max_size=20))
def test_rows_are_found_by_number_in_the_order_asked_for(
    nine_thousand: CompiledRows, numbers: list[int]
) -> None:
    found = rows_at(nine_thousand.directory, nine_thousand.step.train, numbers)
    assert [row.id for row in found] == [f"t:{number + 1}" for number in numbers]
    names = ids_at(nine_thousand.directory, nine_thousand.step.train, numbers)
    assert names == {number: f"t:{number + 1}" for number in numbers}


@pytest.fixture(scope="module")
def nine_thousand(tmp_path_factory: pytest.TempPathFactory) -> CompiledRows:
    return many(tmp_path_factory.mktemp("many"), 9000)[1]


def test_the_longest_rows_and_a_sample(nine_thousand: CompiledRows) -> None:
    directory, train = nine_thousand.directory, nine_thousand.step.train
    table = pq.read_table(directory / "train-00000.parquet", columns=["input_ids"])
    lengths = [len(row) for row in table.column(0).to_pylist()]
    longest = chosen(directory, train, "longest", 5)
    assert [lengths[number] for number in longest] == sorted(lengths, reverse=True)[:5]
    sample = chosen(directory, train, "random", 50)
    assert len(set(sample)) == 50
    assert sample == chosen(directory, train, "random", 50)
    assert 2000 < sum(sample) / 50 < 7000
    assert chosen(directory, train, "first", 10**6) == list(range(9000))


def test_a_sample_of_many_rows_reads_few_of_them(
    nine_thousand: CompiledRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three row groups two are looked at, whose rows stand for all; the longest row ends the reading."""
    directory, train = nine_thousand.directory, nine_thousand.step.train
    read: list[list[str]] = []
    group = lookup._Group.ids
    monkeypatch.setattr(lookup._Group, "ids", lambda one: read.append(group(one)) or read[-1])
    monkeypatch.setattr(lookup, "SAMPLED_GROUPS", 1)
    monkeypatch.setattr(lookup, "GROUP_ROWS", 4)
    sample = chosen(directory, train, "random", 2)
    ids = [id_ for ids in read for id_ in ids]
    assert (len(read), len(ids)) == (2, 4096 + 808)
    assert {f"t:{number + 1}" for number in sample} <= set(ids)
    seen: list[int] = []
    columns = lookup._columns

    def counted(*arguments: Any) -> Any:
        for first, batch in columns(*arguments):
            seen.append(first)
            yield first, batch

    monkeypatch.setattr(lookup, "_columns", counted)
    (longest,) = chosen(directory, train, "longest", 1)
    assert seen[-1] <= longest < seen[-1] + 4


def test_ids_that_begin_like_others(nine_thousand: CompiledRows) -> None:
    found = places(nine_thousand.step, nine_thousand.directory, ["t:1", "t:10", "t:0"])
    assert found == {"t:1": [Place("train", 0)], "t:10": [Place("train", 9)]}


@pytest.mark.parametrize(
    ("id_", "asked", "near"),
    [
        ("T:1", "t:1", 0),
        ("q/t:1", "t:1", 1),
        ("t:1", "t:1/2", 1),
        ("t:1", "t:1/2/3", 1),
        ("t:1", "t:1/x", None),
        ("0123456789", "012345", 2),
        ("0123456789", "01234", None),
    ],
)
def test_what_an_id_may_stand_for(id_: str, asked: str, near: int | None) -> None:
    assert lookup._distance(id_.casefold(), asked) == near


def test_rows_of_the_ledger_by_fate(job: Job) -> None:
    job.sql = "select * from t where n > 9"
    most = compiled(job).step.train.longest - 1
    job.limits = LimitStep(max_length=most, too_long="truncate", invalid="drop")
    rows = compiled(job)
    gone = with_fates(rows.directory, (), 4)
    assert [(row.id, row.fate) for row in gone] == [(f"t:{n}", "filtered") for n in range(1, 5)]
    cut = with_fates(rows.directory, ("truncated",), 100)
    assert cut
    assert {row.fate for row in cut} == {"truncated"}
    assert with_fates(rows.directory, ("filtered", "truncated"), 100)[-1].fate == "truncated"
    assert with_fates(rows.directory, ("duplicate",), 5) == []


def test_the_tokens_of_a_character_in_pieces_are_told_apart(job: Job, monkeypatch: Any) -> None:
    path = write_jsonl(job.directory / "t.jsonl", [{"prompt": "é🙂", "completion": " ok"}] * 2)
    job.sources = (source(path),)
    (way, *_) = trace(compiled(job), job, "t:1")
    texts = [token.text for token in way.examples[0].each]
    assert not [text for text in texts if "\ufffd" in text]
    assert "".join(text for text, _ in way.examples[0].tokens).startswith("é🙂")


def test_the_api_is_what_the_command_shows(tiny_model: Path, tmp_path: Path) -> None:
    import ftc

    rows = [json.dumps({"prompt": f"{n}?", "completion": " fox" * (n % 3 + 1)}) for n in range(30)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        f'[model]\nbase = "{tiny_model}"\n[data]\nsources.rows = "rows.jsonl"\npacking = true\n'
        'query = "from rows where length(prompt) = 2"\n[render]\nchat = false\n[train]\nsteps = 1\n',
        encoding="utf-8",
    )
    found = ftc.trace(recipe, ["rows:3", "rows:20", "rows:99"])
    assert [way.fate for way in found.rows] == [None, "filtered"]
    assert found.rows[0].examples[0].packed is not None
    assert [finding.code for finding in found.findings if finding.code == "FTC607"] == ["FTC607"]
    assert not found.ok
    account = ftc.account(recipe, rows=5)
    assert (account.total, len(account.rows)) == (20, 5)
    assert ftc.account(recipe, fates=["split"]).total == 0
    longest = ftc.examples(recipe, rows=2, order="longest").examples
    assert [example.length for example in longest] == sorted(
        (example.length for example in ftc.examples(recipe, rows=99).examples), reverse=True
    )[:2]
