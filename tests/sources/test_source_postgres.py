"""Postgres tables of a real server: types, order, one state of the database, and a secret that stays one."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from postgres_server import PASSWORD, Server
from source_jobs import FETCH, bad, good, job, read, types, words

from ftc.facts.cache import Cache

psycopg = pytest.importorskip("psycopg")

VARIABLE = "FTC_TEST_PG_URL"


@pytest.fixture
def server(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv(VARIABLE, postgres.url)
    with psycopg.connect(postgres.url, autocommit=True) as con:
        con.execute(
            "drop schema if exists public cascade; create schema public; drop schema if exists s cascade"
        )
    return postgres


def run(server: Server, *statements: str) -> None:
    with psycopg.connect(server.url, autocommit=True) as con:
        for statement in statements:
            con.execute(statement)


def entry(table: str, more: str = "") -> str:
    return f'{{ database = {{ env = "{VARIABLE}" }}, table = "{table}"{more} }}'


def values(server: Server, tmp_path: Path, type_: str, *literals: str) -> tuple[str, list[Any]]:
    """The DuckDB type of a column, and its values."""
    rows = ", ".join(f"({number}, {literal})" for number, literal in enumerate(literals))
    run(server, f"create table t (k int primary key, v {type_})", f"insert into t values {rows}")
    source = good(tmp_path, entry("t"), reach=FETCH)
    done = read(source, tmp_path)
    assert done.bad == []
    return types(source)["v"], [row["v"] for row in done.rows]


UTC = dt.UTC


@pytest.mark.parametrize(
    ("type_", "literals", "expected", "found"),
    [
        ("text", ["'a\"b,\nc'", "''", "null", "'é漢😀'", "E'\\\\N'"], "VARCHAR",
         ['a"b,\nc', "", None, "é漢😀", "\\N"]),
        ("varchar(9)", ["'x'"], "VARCHAR", ["x"]),
        ("smallint", ["-1"], "SMALLINT", [-1]),
        ("bigint", ["9223372036854775807"], "BIGINT", [2**63 - 1]),
        ("boolean", ["true", "false", "null"], "BOOLEAN", [True, False, None]),
        ("double precision", ["0.1", "1e300"], "DOUBLE", [0.1, 1e300]),
        ("numeric(8,2)", ["1.5", "-99.99"], "DECIMAL(8,2)", [Decimal("1.50"), Decimal("-99.99")]),
        ("numeric", ["1.500", "12345678901234567890123456789012345678901234567890"], "VARCHAR",
         ["1.500", "12345678901234567890123456789012345678901234567890"]),
        ("date", ["'2024-02-29'"], "DATE", [dt.date(2024, 2, 29)]),
        ("timestamp", ["'2024-02-29 10:00:00.5'"], "TIMESTAMP", [dt.datetime(2024, 2, 29, 10, 0, 0, 500000)]),
        ("timestamptz", ["'2024-02-29 10:00:00+02'"], "TIMESTAMP WITH TIME ZONE",
         [dt.datetime(2024, 2, 29, 8, tzinfo=UTC)]),
        ("interval", ["'1 day 2 hours'"], "VARCHAR", ["P1DT2H"]),
        ("uuid", ["'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"], "VARCHAR",
         ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
        ("json", ["'{\"b\": 1.50, \"a\": [null]}'"], "JSON", ['{"b": 1.50, "a": [null]}']),
        ("jsonb", ["'{\"b\": 1, \"a\": \"x\"}'"], "JSON", ['{"a": "x", "b": 1}']),
        ("text[]", ["array['a,b', null, '\"q\"']", "'{}'", "null"], "VARCHAR[]",
         [["a,b", None, '"q"'], [], None]),
        ("int[]", ["array[1, null]"], "BIGINT[]", [[1, None]]),
        ("int[][]", ["array[[1, 2], [3, 4]]"], "BIGINT[][]", [[[1, 2], [3, 4]]]),
        ("numeric[]", ["array[1.50]"], "VARCHAR[]", [["1.50"]]),
        ("bytea", ["'\\x00ff'"], "VARCHAR", ["\\x00ff"]),
        ("inet", ["'10.0.0.1'"], "VARCHAR", ["10.0.0.1"]),
        ("point", ["'(1,2)'"], "VARCHAR", ["(1,2)"]),
    ],
)  # fmt: skip
def test_types(
    server: Server, tmp_path: Path, type_: str, literals: list[str], expected: str, found: list[Any]
) -> None:
    assert values(server, tmp_path, type_, *literals) == (expected, found)


def test_enums_and_domains(server: Server, tmp_path: Path) -> None:
    run(server, "create type mood as enum ('sad', 'happy')", "create domain price as numeric(6,2)")
    assert values(server, tmp_path, "mood", "'happy'") == ("VARCHAR", ["happy"])
    run(server, "drop table t")
    assert values(server, tmp_path, "price", "1.5") == ("DECIMAL(6,2)", [Decimal("1.50")])


def test_values_without_a_place_are_named(server: Server, tmp_path: Path) -> None:
    run(
        server,
        "create table t (k int primary key, a text, d date, n numeric(4,1))",
        "insert into t values (1, 'x\ny', '2024-01-01', 1), (2, 'two', 'infinity', 1), (3, 'z', null, 'NaN'),"
        " (4, 'w', '0044-03-15 BC', 2), (5, 'v', '9998-01-01', 2)",
    )
    done = read(good(tmp_path, entry("t"), reach=FETCH), tmp_path)
    assert [row["k"] for row in done.rows] == [1, 5]
    assert [(row.number, row.place, row.code) for row in done.account.bad] == [
        (number, f"public.t:{number}", "FTC210") for number in (2, 3, 4)
    ]
    assert "infinity" in done.account.bad[0].reason


def test_end_to_end(server: Server, tmp_path: Path) -> None:
    run(
        server,
        "create schema s",
        'create table s."Odd ""Name" (id int primary key, prompt text, completion text)',
        """insert into s."Odd ""Name" select i, 'q' || i, ' a' || i from generate_series(40, 1, -1) i""",
        "create table labels (id int, label text)",
        "insert into labels select i, 'l' from generate_series(1, 40) i",
    )
    source = good(tmp_path, entry('s.Odd \\"Name'), reach=FETCH)
    compiled = job(source, tmp_path, "select prompt, completion from t where id > 4").run()
    assert compiled.ledger is not None
    assert (compiled.ledger.read, compiled.ledger.train, compiled.ledger.unexplained) == (40, 36, 0)
    assert compiled.ledger.lines[0].first_ids == ("t:1", "t:2", "t:3", "t:4")


def test_the_order_is_that_of_the_key_or_of_all_columns(server: Server, tmp_path: Path) -> None:
    rows = "values ('b', 2), ('B', 1), ('a', 3), (null, 0), ('a', 1), ('ä', 0)"
    run(
        server,
        "create table keyed (a text, n int primary key)",
        "insert into keyed values ('x', 3), ('z', 1), ('y', 2)",
        "create table plain (a text, n int)",
        f"insert into plain {rows}",
        "create view seen as select n, a from plain",
    )

    def found(name: str) -> list[tuple[Any, ...]]:
        source = good(tmp_path, entry(name), reach=FETCH)
        return [tuple(row.values()) for row in read(source, tmp_path).rows]

    assert found("keyed") == [("z", 1), ("y", 2), ("x", 3)]
    assert found("plain") == [("B", 1), ("a", 1), ("a", 3), ("b", 2), ("ä", 0), (None, 0)]
    before = good(tmp_path, entry("plain"), reach=FETCH)
    run(server, "delete from plain", f"insert into plain select * from ({rows}) v order by 2, 1")
    after = good(tmp_path, entry("plain"), reach=FETCH)
    assert (after.step, after.choices) == (before.step, before.choices)
    assert before.choices[0].value == ["a", "n"]
    assert "no primary key" in before.choices[0].reason
    assert [row[0] for row in found("seen")] == [0, 0, 1, 1, 2, 3]


def test_a_check_reads_no_row_and_a_plan_reads_them_all(server: Server, tmp_path: Path) -> None:
    run(server, "create table t (prompt text, completion text)")
    checked = good(tmp_path, entry("t"))
    assert (checked.paths, checked.step.files) == ((), ())
    assert types(checked) == {"prompt": "VARCHAR", "completion": "VARCHAR"}
    assert not (tmp_path / "cache").exists()
    source = good(tmp_path, entry("t"), reach=FETCH)
    (problem,) = job(source, tmp_path).run().problems
    assert problem.code == "FTC601"


def test_rows_that_are_pinned_are_not_asked_for_again(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(server, "create table t (a text)", "insert into t values ('x')")
    source = good(tmp_path, entry("t"), reach=FETCH)
    pin = f', sha256 = "{source.step.sha256}"'
    monkeypatch.delenv(VARIABLE)
    again = good(tmp_path, entry("t", pin))
    assert (again.step, again.paths) == (source.step, source.paths)
    monkeypatch.setenv(VARIABLE, server.url)
    run(server, "insert into t values ('y')")
    assert good(tmp_path, entry("t", pin), reach=FETCH).step == source.step
    empty = Cache(tmp_path / "another")
    finding = bad(tmp_path, entry("t", pin), reach=FETCH, cache=empty)
    assert finding.code == "FTC216"
    assert good(tmp_path, entry("t"), reach=FETCH).step.sha256 in words(finding)


def test_which_table(server: Server, tmp_path: Path) -> None:
    run(server, "create table tickets (a text)", "create schema s", "create table s.people (a text)")
    finding = bad(tmp_path, entry("tickts"))
    assert finding.code == "FTC201"
    assert 'did you mean "public.tickets"?' in words(finding)
    assert "`public.tickets`, `s.people`" in words(finding)
    assert 'did you mean "s.people"?' in words(bad(tmp_path, entry("people")))


def test_a_table_that_may_not_be_read(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(
        server,
        "create table t (a text)",
        f"create role other login password '{PASSWORD}'",
        "grant usage on schema public to other",
    )
    monkeypatch.setenv(VARIABLE, server.url.replace("ftc_tester", "other"))
    finding = bad(tmp_path, entry("t"))
    assert finding.code == "FTC222"
    assert "may not be read" in finding.message


def test_the_whole_is_one_state_of_the_database(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(server, "create table t (a text)", "insert into t values ('before')")
    from ftc.facts.sources import postgres as module

    real = module.find_table

    def meanwhile(*arguments: Any) -> Any:
        found = real(*arguments)
        run(server, "insert into t values ('meanwhile')")
        return found

    monkeypatch.setattr(module, "find_table", meanwhile)
    source = good(tmp_path, entry("t"), reach=FETCH)
    assert [row["a"] for row in read(source, tmp_path).rows] == ["before"]


@pytest.mark.parametrize(
    ("secret", "code", "said"),
    [
        (None, "FTC222", "is not set"),
        (f"not a {PASSWORD} string", "FTC222", "no connection string"),
        (f"postgresql://ftc_tester:{PASSWORD}@127.0.0.1:9/postgres?connect_timeout=2", "FTC222", "reached"),
        (f"postgresql://ftc_tester:{PASSWORD}x@HOST/postgres", "FTC222", "cannot be reached"),
    ],
)
def test_what_cannot_be_reached(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    secret: str | None,
    code: str,
    said: str,
) -> None:
    if secret is None:
        monkeypatch.delenv(VARIABLE)
        note = bad(tmp_path, entry("t"))
        assert (note.code, str(note.severity)) == ("FTC221", "note")
    else:
        monkeypatch.setenv(VARIABLE, secret.replace("HOST", f"127.0.0.1:{server.port}"))
    finding = bad(tmp_path, entry("t"), reach=FETCH)
    assert finding.code == code
    assert said in finding.message
    assert PASSWORD not in repr(finding)


def test_the_secret_is_written_nowhere(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    run(server, "create table t (prompt text, completion text)", "insert into t values ('p', 'c')")
    source = good(tmp_path, entry("t"), reach=FETCH)
    compiled = job(source, tmp_path).run()
    assert compiled.step is not None
    said = repr(source) + source.step.model_dump_json() + compiled.step.model_dump_json() + caplog.text
    out, err = capfd.readouterr()
    for text in (said, out, err):
        assert PASSWORD not in text
    for path in tmp_path.rglob("*"):
        assert PASSWORD not in str(path)
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes()


def test_the_command_line_keeps_the_secret(server: Server, tmp_path: Path, tiny_model: Path) -> None:
    import os
    import subprocess
    import sys

    run(
        server,
        "create table t (id int primary key, prompt text, completion text)",
        "insert into t select i, 'the ' || i, 'fox' from generate_series(1, 8) i",
    )
    recipe = f'[model]\nbase = "{tiny_model}"\n[data]\nsources.t = {entry("t")}\n[train]\nsteps = 1\n'
    (tmp_path / "recipe.toml").write_text(recipe, encoding="utf-8")
    environment = {**os.environ, "FTC_CACHE_DIR": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    for command in (["check"], ["plan", "--json"], ["build"]):
        done = subprocess.run(
            [sys.executable, "-m", "ftc", *command, "recipe.toml"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert PASSWORD not in done.stdout + done.stderr
        if "--json" in command:
            plan = json.loads(done.stdout)["results"][0]["plan"]
            assert plan["sources"][0]["location"] == f"${VARIABLE} t"
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes(), path
