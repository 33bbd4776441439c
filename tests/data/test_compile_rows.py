"""The whole data compiler on small inputs: what is kept, and what becomes of the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from data_requests import Job, chat, pairs, source, write_jsonl
from ftc.data.compile import Compiled
from ftc.data.kept.shards import CompiledRow, find_rows, read_rows
from ftc.plan.account import Ledger
from ftc.plan.steps import LimitStep, SplitStep

HELD = SplitStep(fraction=0.3, rows=None, keys=("prompt",), seed=0)


def rows_of(compiled: Compiled) -> Iterator[CompiledRow]:
    assert compiled.step is not None, compiled.problems
    assert compiled.directory is not None
    yield from read_rows(compiled.directory, compiled.step.train)
    if compiled.step.eval:
        yield from read_rows(compiled.directory, compiled.step.eval)


def ids(compiled: Compiled) -> list[str]:
    return [row.id for row in rows_of(compiled)]


def fates(ledger: Ledger | None) -> dict[str, int]:
    assert ledger is not None
    assert ledger.unexplained == 0
    found: dict[str, int] = {}
    for line in ledger.lines:
        found[line.fate] = found.get(line.fate, 0) + line.rows
    return found


def codes(compiled: Compiled) -> list[str]:
    return [problem.code for problem in compiled.problems]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path, (source(write_jsonl(tmp_path / "t.jsonl", pairs(40))),))


def dropping(**limits: Any) -> LimitStep:
    return LimitStep(**{"max_length": 512, "too_long": "drop", "invalid": "drop", **limits})


def test_tokens_are_those_of_tokenizers(job: Job) -> None:
    tokenizer = Tokenizer.from_file(str(job.tokenizer))
    by_id = {row.id: row for row in rows_of(job.run())}
    assert len(by_id) == 40
    for number, pair in enumerate(pairs(40), 1):
        row = by_id[f"t:{number}"]
        prompt = tokenizer.encode(pair["prompt"], add_special_tokens=False).ids
        answer = tokenizer.encode(pair["completion"], add_special_tokens=False).ids
        assert list(row.input_ids) == prompt + answer + [2]
        assert list(row.mask) == [False] * len(prompt) + [True] * (len(answer) + 1)
        assert row.prompt_length == len(prompt)
        assert row.target == pair["completion"]


def test_a_chat_trains_the_answer_and_prompts_like_inference(job: Job) -> None:
    job.render = chat(system="Be brief.", prompt=None, completion="{{ completion.strip() }}")
    tokenizer = Tokenizer.from_file(str(job.tokenizer))
    row = next(rows_of(job.run()))
    text = tokenizer.decode(list(row.input_ids), skip_special_tokens=False)
    assert text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nwhat is the capital of country 0?"
        "<|im_end|>\n<|im_start|>assistant\nthe city 0<|im_end|>\n"
    )
    given = tokenizer.decode(list(row.input_ids[: row.prompt_length]), skip_special_tokens=False)
    assert given.endswith("<|im_start|>assistant\n")
    trained = [token for token, kept in zip(row.input_ids, row.mask, strict=True) if kept]
    assert tokenizer.decode(trained, skip_special_tokens=False) == "the city 0<|im_end|>"
    assert row.target == "the city 0"


def test_a_list_of_messages(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
    bad: list[Any] = [
        [],
        None,
        [{"role": "robot", "content": "x"}],
        [{"role": "user", "content": None}],
        [{"role": "user", "content": "nobody answers"}],
    ]
    path = write_jsonl(tmp_path / "t.jsonl", [{"messages": value} for value in [turns * 2, *bad]])
    job = Job(tmp_path, (source(path),), render=chat(messages=None), limits=dropping())
    job.split = SplitStep(fraction=None, rows=None, keys=("messages",), seed=0)
    compiled = job.run()
    (row,) = rows_of(compiled)
    assert row.mask.count(True) == 2 * row.mask[row.prompt_length :].count(True)
    assert fates(compiled.ledger) == {"invalid": 4, "untrained": 1}
    assert compiled.ledger is not None
    reasons = {line.reason for line in compiled.ledger.lines}
    assert any("unknown role `robot`" in reason for reason in reasons)


def test_messages_as_json_text(tmp_path: Path) -> None:
    text = '[{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]'
    path = write_jsonl(tmp_path / "t.jsonl", [{"messages": text}, {"messages": "[{"}])
    job = Job(tmp_path, (source(path),), render=chat(messages=None), limits=dropping())
    compiled = job.run()
    assert ids(compiled) == ["t:1"]
    assert fates(compiled.ledger) == {"invalid": 1}


def test_documents_train_every_token(job: Job) -> None:
    job.render = job.render.model_copy(update={"form": "text", "fields": {"text": "{{ prompt }}!"}})
    compiled = job.run()
    assert all(
        row.mask == (False, *[True] * (len(row.mask) - 1)) and row.prompt_length is row.target is None
        for row in rows_of(compiled)
    )
    assert all(row.input_ids[-1] == 2 for row in rows_of(compiled))
    assert compiled.step is not None
    assert compiled.step.labels is None
    assert compiled.step.longest_target == 0


def test_a_beginning_token_goes_before_plain_text(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    request = job.request()
    with_bos = replace(request, tokenizer=request.tokenizer.model_copy(update={"bos_id": 1}))
    plain = list(rows_of(job.run()))
    monkeypatch.setattr(Job, "request", lambda _: with_bos)
    for before, after in zip(plain, rows_of(job.run()), strict=True):
        assert after.input_ids == (1, *before.input_ids)
        assert after.mask == (False, *before.mask)
        assert after.prompt_length == (before.prompt_length or 0) + 1


def test_rows_the_query_leaves_out_are_named(job: Job) -> None:
    job.sql = "select prompt, completion from t where n % 4 = 0 order by n desc limit 5"
    compiled = job.run()
    assert ids(compiled) == ["t:21", "t:25", "t:29", "t:33", "t:37"]
    assert compiled.directory is not None
    dropped = pq.read_table(compiled.directory / "dropped.parquet").to_pylist()
    assert {row["id"] for row in dropped} == {f"t:{n}" for n in range(1, 41)} - set(ids(compiled))
    assert {row["fate"] for row in dropped} == {"filtered"}
    assert compiled.ledger is not None
    assert compiled.ledger.read == 40


def test_an_untraced_row_is_known_by_its_content(job: Job) -> None:
    job.sql = "select 'p' as prompt, completion from t cross join (select 1)"
    compiled = job.run()
    con = duckdb.connect()
    con.execute(f"create table t as from '{job.sources[0].paths[0]}'")
    judged = con.execute(f"select md5(to_json(r)::varchar) from ({job.sql}) r order by 1").fetchall()
    expected = [row[0] for row in judged]
    assert [id_.partition("#")[0] for id_ in ids(compiled)] == expected
    assert len(set(ids(compiled))) == 40
    assert compiled.ledger is not None
    assert compiled.ledger.read == 40


@pytest.mark.parametrize(
    "sql",
    [
        "select * from t",
        "select * from t where n > 3 order by completion limit 17",
        "select distinct on (completion) * from t",
        "select * from t qualify row_number() over (partition by completion order by prompt) <= 2",
        "select distinct completion as prompt, completion from t",
        "select any_value(prompt) as prompt, completion from t group by completion",
        "select string_agg(prompt) as prompt, completion from t group by completion",
        "select a.prompt, b.completion from t a join t b on a.n = b.n + 1",
    ],
)
def test_the_same_bytes_on_every_run_and_number_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    path = write_jsonl(tmp_path / "t.jsonl", pairs(3000))
    seen = set()
    for threads in (1, 2, 2):
        monkeypatch.setattr("ftc.data.query.ingest.threads_for_reading", lambda t=threads: t)
        monkeypatch.setattr("ftc.data.query.result.threads_for_reading", lambda t=threads: t)
        job = Job(tmp_path / f"{len(list(tmp_path.iterdir()))}", (source(path),), sql=sql, split=HELD)
        job.directory.mkdir()
        job.limits = dropping(max_length=1_000_000)
        compiled = job.run()
        assert compiled.step is not None
        assert not compiled.cached
        assert compiled.directory is not None
        dropped = (compiled.directory / "dropped.parquet").read_bytes()
        seen.add((compiled.step.model_dump_json(), hashlib.sha256(dropped).hexdigest()))
    assert len(seen) == 1


def test_the_warm_path_reads_nothing(job: Job) -> None:
    first = job.run()
    again = job.run()
    assert not first.cached
    assert again.cached
    assert (again.step, again.directory, again.ledger) == (first.step, first.directory, first.ledger)


def test_the_warm_path_imports_neither_duckdb_nor_arrow(job: Job, tmp_path: Path) -> None:
    import pickle
    import subprocess
    import sys

    job.run()
    saved = tmp_path / "request.pickle"
    saved.write_bytes(pickle.dumps(job.request()))
    code = (
        "import pickle, sys; from pathlib import Path\n"
        "from ftc.data.compile import Locations, compile_data; from ftc.facts.cache import Cache\n"
        "request = pickle.loads(Path(sys.argv[1]).read_bytes())\n"
        "done = compile_data(request, Locations({}, Path('none')), cache=Cache(Path(sys.argv[2])))\n"
        "assert done.cached and done.step.train.rows == 40\n"
        "heavy = {'duckdb', 'pyarrow', 'pandas', 'tokenizers', 'numpy', 'jinja2', 'transformers', 'torch'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(saved), str(tmp_path / "cache")], check=True)


def test_compiling_never_imports_pandas_or_torch(job: Job, tmp_path: Path) -> None:
    import pickle
    import subprocess
    import sys

    saved = tmp_path / "request.pickle"
    saved.write_bytes(pickle.dumps((job.request(), job.sources[0].paths, job.tokenizer)))
    code = (
        "import pickle, sys; from pathlib import Path\n"
        "from ftc.data.compile import Locations, compile_data; from ftc.facts.cache import Cache\n"
        "request, paths, tokenizer = pickle.loads(Path(sys.argv[1]).read_bytes())\n"
        "done = compile_data(request, Locations({'t': paths}, tokenizer), cache=Cache(Path(sys.argv[2])))\n"
        "assert done.step is not None\n"
        "heavy = {'pandas', 'transformers', 'torch'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(saved), str(tmp_path / "cache")], check=True)


def test_a_damaged_entry_is_made_again(job: Job) -> None:
    first = job.run()
    assert first.directory is not None
    (first.directory / "train-00000.parquet").unlink()
    again = job.run()
    assert not again.cached
    assert again.step == first.step


def test_another_query_does_not_read_the_sources_again(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job.run()
    monkeypatch.setattr("ftc.data.query.ingest.ingest", None)
    job.sql = "select * from t where n < 10"
    assert len(ids(job.run())) == 10


def test_equal_prompts_are_on_one_side(tmp_path: Path) -> None:
    rows = [{"prompt": f"q{n % 9}", "completion": f"a{n}"} for n in range(90)]
    job = Job(tmp_path, (source(write_jsonl(tmp_path / "t.jsonl", rows)),), split=HELD)
    step = job.run().step
    assert step is not None
    assert step.eval is not None
    assert (step.train.rows % 10, step.eval.rows % 10) == (0, 0)


def test_a_number_of_rows_is_held_out(job: Job) -> None:
    job.split = SplitStep(fraction=None, rows=7, keys=("prompt",), seed=3)
    step = job.run().step
    assert step is not None
    assert step.eval is not None
    assert (step.train.rows, step.eval.rows) == (33, 7)


def test_labels_of_a_closed_answer_set(job: Job) -> None:
    step = job.run().step
    assert step is not None
    assert step.labels == tuple(sorted({pair["completion"] for pair in pairs(40)}))
    tokenizer = Tokenizer.from_file(str(job.tokenizer))
    longest = max(len(tokenizer.encode(label, add_special_tokens=False)) for label in step.labels)
    assert step.longest_target == longest + 1


def test_open_answers_have_no_labels(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "completion": f"a{n}"} for n in range(10)]
    step = Job(tmp_path, (source(write_jsonl(tmp_path / "t.jsonl", rows)),)).run().step
    assert step is not None
    assert step.labels is None


def test_rows_can_be_found_by_id(job: Job) -> None:
    compiled = job.run()
    assert compiled.directory is not None
    assert compiled.step is not None
    found = find_rows(compiled.directory, compiled.step.train, ["t:3", "t:9", "t:99"])
    assert sorted(found) == ["t:3", "t:9"]
    assert found["t:3"] == list(rows_of(compiled))[2]


def test_shards_are_cut_as_they_fill(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(rows_of(job.run()))
    monkeypatch.setattr("ftc.data.kept.shards.SHARD_ROWS", 16)
    job.cache = None
    job.limits = job.limits.model_copy(update={"max_length": 511})
    compiled = job.run()
    assert compiled.step is not None
    assert [shard.rows for shard in compiled.step.train.shards] == [16, 16, 8]
    assert list(rows_of(compiled)) == whole


content = st.text(max_size=12)
messy = st.lists(
    st.fixed_dictionaries({"prompt": st.none() | content, "completion": st.none() | content}), max_size=25
)


@given(rows=messy, broken=st.integers(0, 3), most=st.integers(2, 14), cut=st.booleans(), held=st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_account_balances(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, str | None]],
    broken: int,
    most: int,
    cut: bool,
    held: bool,
) -> None:
    directory = tmp_path_factory.mktemp("balance")
    path = write_jsonl(directory / "t.jsonl", [*rows, {"prompt": "abc", "completion": "def"}])
    path.write_bytes(path.read_bytes() + b'{"prompt": \n' * broken)
    columns = {"columns": {"prompt": "VARCHAR", "completion": "VARCHAR"}}
    job = Job(
        directory, (source(path, options=columns),), sql="select * from t where prompt is distinct from 'a'"
    )
    job.limits = dropping(max_length=most, too_long="truncate" if cut else "drop")
    job.split = HELD if held else job.split
    job.cache = None
    compiled = job.run()
    ledger = compiled.ledger
    assert ledger is not None
    assert ledger.unexplained == 0
    assert ledger.read == len(rows) + 1 + broken
    expected = sum(row["prompt"] is None or row["completion"] is None for row in rows if row["prompt"] != "a")
    assert fates(ledger).get("invalid", 0) == expected + broken
    assert fates(ledger).get("filtered", 0) == sum(row["prompt"] == "a" for row in rows)
    if compiled.step is not None:
        assert len(ids(compiled)) == len(set(ids(compiled))) == ledger.train + ledger.eval
        assert all(len(row.input_ids) <= most and any(row.mask) for row in rows_of(compiled))
