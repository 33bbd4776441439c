# ruff: noqa: E501 - a query is read best in one line
"""A recipe's SQL reads its declared sources and nothing else: every attempt is refused, before it runs."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from data_requests import Job, pairs, source, write_jsonl
from ftc.facts.query import describe
from ftc.facts.sources import ResolvedSource

READING = [
    "select * from read_csv('{here}/secret.csv')",
    "select * from read_csv_auto('{here}/secret.csv')",
    "select * from read_text('{here}/secret.csv')",
    "select * from read_blob('{here}/*')",
    "select * from read_json('{here}/secret.json')",
    "select * from read_ndjson_objects('{here}/t.jsonl')",
    "select * from read_parquet('{here}/../*.parquet')",
    "select * from read_duckdb('{here}/x.duckdb')",
    "select * from parquet_metadata('{here}/x.parquet')",
    "select * from sniff_csv('{here}/secret.csv')",
    "select * from glob('{here}/*')",
    "from '{here}/secret.csv'",
    'from "{here}/secret.csv"',
    "from 'secret.csv'",
    "select (select content from read_text('{here}/secret.csv')) as a from t",
    "select n from t where prompt in (select * from '{here}/secret.csv')",
    "with c as (select * from '{here}/secret.csv') select * from c",
    "select * from t, lateral (select * from read_text('{here}/secret.csv')) q",
    "select * from t join read_csv('{here}/secret.csv') r on true",
    "select * from unnest((select list(file) from glob('*')))",
    "select * from 'https://example.org/x.csv'",
    "select * from read_csv('http://example.org/x.csv')",
    "select * from 's3://bucket/x.parquet'",
    "select * from 'hf://datasets/a/b/x.parquet'",
    "select getenv('HOME') as a from t",
    "select current_setting('threads') as a from t",
    "select getvariable('x') as a from t",
    "select current_query() as a from t",
    "select current_database() as a from t",
    "select version() as a from t",
    "select pg_sleep(3600) as a from t",
    "select sleep_ms(3600000) as a from t",
    "select write_log('x') as a from t",
    "select pg_get_viewdef(1) as a from t",
    "select get_block_size('memory') as a from t",
    "select * from duckdb_secrets()",
    "select * from duckdb_settings()",
    "select * from duckdb_tables()",
    "select * from duckdb_logs",
    "select * from which_secret('s3://x', 's3')",
    "select * from information_schema.tables",
    "select * from pg_catalog.pg_class",
    "select * from sqlite_master",
    "select * from pg_tables",
    "select * from query('select 1')",
    "select * from query_table('t')",
    "select * from json_execute_serialized_sql('{{}}')",
    "select * from python_map_function()",
    "select * from pandas_scan(1)",
    "select * from seq_scan('t')",
    "select * from histogram('t', n)",
    'select * from main."ftc rows"',
    'select * from "ftc-result".main."ftc raw"',
    'select * from "ftc-source-0".main.t',
    "select * from memory.main.t",
    "select * from system.main.duckdb_tables",
]

STATEMENTS = [
    "copy t to '{here}/out.csv'",
    "copy (select * from t) to '{here}/out.parquet'",
    "copy t from '{here}/secret.csv'",
    "export database '{here}/out'",
    "import database '{here}'",
    "attach '{here}/new.duckdb'",
    "detach x",
    "use memory",
    "install httpfs",
    "load httpfs",
    "set enable_external_access = true",
    "reset lock_configuration",
    "pragma database_list",
    "call pragma_version()",
    "checkpoint",
    "begin",
    "prepare p as select 1",
    "create table x as select 1",
    "create macro m(x) as x",
    "create view v as select 1",
    "create secret s (type s3)",
    "insert into t select * from t",
    "update t set n = 2",
    "delete from t",
    "truncate t",
    "drop table t",
    "alter table t add column c int",
    "merge into t using t u on t.n = u.n when matched then delete",
    "with x as (insert into t select * from t returning *) select * from x",
    "with x as (delete from t returning *) select * from x",
    "select * from t; drop table t",
    "select * from t -- ; harmless\n; drop table t",
    "select * from t /* ; */; copy t to '{here}/out.csv'",
    "show tables",
    "describe t",
    "summarize t",
    "select * from (describe t)",
    "select * from (show tables)",
    "explain select 1",
    "explain analyze select * from t",
    "",
    ";",
]

UNREADABLE = ["selеct n from t", "select n from t\u037e drop table t", "select n from t where"]
"""A Cyrillic е, a Greek question mark that looks like a semicolon, an end too early."""


@pytest.fixture
def sources(tmp_path: Path) -> tuple[ResolvedSource, ...]:
    (tmp_path / "secret.csv").write_text("prompt\nhidden\n", encoding="utf-8")
    return (source(write_jsonl(tmp_path / "t.jsonl", pairs(3))),)


def untouched(here: Path) -> list[tuple[str, bytes]]:
    return [(path.name, path.read_bytes()) for path in sorted(here.iterdir()) if path.is_file()]


@pytest.mark.parametrize(
    ("attempt", "code"),
    [*((sql, "FTC207") for sql in READING), *((sql, "FTC206") for sql in STATEMENTS)]
    + [(sql, "FTC203") for sql in UNREADABLE],
)
def test_attempts_are_refused(
    sources: tuple[ResolvedSource, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    attempt: str,
    code: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = untouched(tmp_path)
    described = describe(sources, attempt.format(here=tmp_path))
    assert {problem.code for problem in described.problems} == {code}
    assert described.columns == ()
    assert untouched(tmp_path) == before


def test_variables_of_python_are_not_read(sources: tuple[ResolvedSource, ...]) -> None:
    hidden = duckdb.sql("select 1 as secret")
    assert hidden is not None
    described = describe(sources, "select * from hidden")
    assert [problem.code for problem in described.problems] == ["FTC205"]


@pytest.mark.parametrize(
    "sql",
    [
        "select n, prompt, completion from t where prompt = ';'",
        "/* copy */ select n, prompt, completion from t -- attach",
        "table t",
        "from t",
        "values (1, 'a', 'b')",
        "\ufeffselect n from t",
        "select n from t;",
        'select n as "drop table t" from t',
    ],
)
def test_what_only_looks_like_an_attempt_is_let_through(
    sources: tuple[ResolvedSource, ...], sql: str
) -> None:
    assert describe(sources, sql).problems == ()


ENDLESS = [
    "select a.prompt, b.completion from t a, t b, range(100000000) c, range(100000000) d",
    "with recursive r(n) as (select 1 union all select n + 1 from r) select prompt, completion from t, r",
    "select prompt, completion from t where n < (select max(a.range * b.range) from range(10000000) a, range(10000000) b)",
]


@pytest.mark.parametrize("sql", ENDLESS)
def test_a_query_without_end_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sql: str) -> None:
    monkeypatch.setenv("FTC_QUERY_SECONDS", "1.5")
    here = Job(tmp_path, (source(write_jsonl(tmp_path / "t.jsonl", pairs(3))),), sql=sql)
    (problem,) = here.run().problems
    assert (problem.code, problem.at) == ("FTC219", ("data", "query"))
    assert "1.5 seconds" in problem.message
    assert "FTC_QUERY_SECONDS" in problem.help[1]
    assert not [path for path in (tmp_path / "cache" / "staging").iterdir() if path.name != ".lock"]


def test_a_query_that_would_fill_the_disk_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTC_QUERY_GIGABYTES", "0.03")
    sql = (
        "select md5(range::varchar) as prompt, md5((range + 1)::varchar) as completion from range(2000000000)"
    )
    here = Job(tmp_path, (source(write_jsonl(tmp_path / "t.jsonl", pairs(3))),), sql=sql)
    (problem,) = here.run().problems
    assert problem.code == "FTC219"
    assert "disk" in problem.message
