"""The connection on which a recipe's SQL runs: nothing of the machine is within its reach."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from ftc.facts.sandbox import connect, lock, quoted


@pytest.fixture
def con(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(tmp_path / "sources.duckdb") as writer:
        writer.execute("create table t as select 1 as a")
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with connect(tmp_path / "private.duckdb") as writer:
        writer.execute("create table t as select 1 as a")
    with connect(tmp_path / "work.duckdb") as locked:
        locked.execute(f"attach {quoted(str(tmp_path / 'sources.duckdb'))} as s (read_only)")
        locked.execute("use s")
        lock(locked)
        yield locked


ATTEMPTS = [
    "from read_csv('{here}/secret.csv')",
    "from '{here}/secret.csv'",
    "from read_text('{here}/secret.csv')",
    "from read_blob('{here}/../**')",
    "from glob('{here}/*')",
    "from sniff_csv('{here}/secret.csv')",
    "from 'https://example.org/x.csv'",
    "copy t to '{here}/out.csv'",
    "copy t to '{here}/out.parquet'",
    "export database '{here}/out'",
    "attach '{here}/new.duckdb'",
    "attach '{here}/sources.duckdb' as again",
    "install httpfs",
    "load httpfs",
    "set enable_external_access = true",
    "set threads = 1",
    "reset memory_limit",
    "set lock_configuration = false",
    "insert into t values (2)",
    "create table s.main.u as select 1",
    "drop table t",
    "select getenv('HOME')",
    "from secret",
    "from read_ndjson_objects('{here}/secret.csv')",
    "from read_parquet('{here}/*.parquet')",
    "from read_duckdb('{here}/private.duckdb')",
    "from parquet_metadata('{here}/x.parquet')",
    "from 's3://bucket/x.parquet'",
    "from pandas_scan(1)",
    "import database '{here}'",
    "update t set a = 2",
    "delete from t",
    "truncate t",
    "alter table t add column c int",
    "with x as (insert into t values (3) returning *) select * from x",
    "create secret x (type s3)",
    "create persistent secret x (type s3)",
    "force install spatial",
    "from json_execute_serialized_sql('x')",
]


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_attempts_to_get_out_fail(con: duckdb.DuckDBPyConnection, tmp_path: Path, attempt: str) -> None:
    secret = [1]
    before = sorted(tmp_path.iterdir())
    with pytest.raises(duckdb.Error):
        con.execute(attempt.format(here=tmp_path)).fetchall()
    assert [path for path in sorted(tmp_path.iterdir()) if path not in before] == []
    assert con.execute("from t").fetchall() == [(1,)]
    assert secret == [1]


def test_the_work_itself_is_possible(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("create table work.main.rows as select a, rowid as r from t")
    assert con.execute("from work.main.rows").fetchall() == [(1, 0)]


def test_a_locked_connection_still_spills(tmp_path: Path) -> None:
    with connect(tmp_path / "big.duckdb", threads=1) as con:
        con.execute("set memory_limit='60MB'")
        con.execute("create table t as select range as i, repeat('x' || range, 40) as p from range(300000)")
        lock(con)
        rows = con.execute("select md5(p) from (select p from t order by md5(p), i) limit 1").fetchall()
    assert rows == [(min_md5(),)]


def min_md5() -> str:
    import hashlib

    return min(hashlib.md5((f"x{i}" * 40).encode()).hexdigest() for i in range(300_000))  # noqa: S324


def test_literals_are_quoted() -> None:
    with connect() as con:
        assert con.execute(f"select {quoted(chr(39) + 'a; drop' + chr(39))}").fetchall() == [("'a; drop'",)]


def test_ctrl_c_stops_a_query() -> None:
    code = (
        "import os, signal, threading\n"
        "from ftc.facts.sandbox import connect, interruptible\n"
        "con = connect(threads=1)\n"
        "sql = 'select sum(a.range * b.range) from range(1000000) a, range(1000000) b'\n"
        "threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
        "interruptible(con, lambda: con.execute(sql).fetchall())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")
