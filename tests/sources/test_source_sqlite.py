"""SQLite: the order of rows, types by value, several tables, and what does not fit."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from source_jobs import bad, good, job, problem, read, types, words


def make(path: Path, *statements: str, rows: Iterable[tuple[Any, ...]] = ()) -> None:
    con = sqlite3.connect(path)
    for statement in statements:
        con.execute(statement)
    for row in rows:
        con.execute(f"insert into t values ({', '.join('?' * len(row))})", row)
    con.commit()
    con.close()


def table(tmp_path: Path, columns: str, *rows: tuple[Any, ...]) -> Any:
    make(tmp_path / "t.db", f"create table t ({columns})", rows=rows)
    return good(tmp_path, '"t.db"')


@pytest.mark.parametrize(
    ("declared", "values", "expected"),
    [
        ("integer", [1, None, 2**62], "BIGINT"),
        ("real", [1.5, 2.0], "DOUBLE"),
        ("decimal(10, 2)", [1, 1.5], "DOUBLE"),
        ("text", ["a", "", None, "é漢\U0001f600"], "VARCHAR"),
        ("", ["1", "a"], "VARCHAR"),
        ("blob", [b"\x00\xff"], "BLOB"),
    ],
)
def test_types_are_those_of_the_values(
    tmp_path: Path, declared: str, values: list[Any], expected: str
) -> None:
    source = table(tmp_path, f"a {declared}", *((value,) for value in values))
    assert types(source) == {"a": expected}
    assert [row["a"] for row in read(source, tmp_path).rows] == values


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("integer", "BIGINT"),
        ("varchar(9)", "VARCHAR"),
        ("double", "DOUBLE"),
        ("blob", "BLOB"),
        ("", "VARCHAR"),
    ],
)
def test_a_column_without_values_has_the_type_it_is_declared_with(
    tmp_path: Path, declared: str, expected: str
) -> None:
    assert types(table(tmp_path, f"a {declared}", (None,))) == {"a": expected}


def test_numbers_among_texts_are_written_as_sqlite_writes_them(tmp_path: Path) -> None:
    source = table(tmp_path, "a", ("x",), (7,), (1.5,), (1e300,))
    con = sqlite3.connect(tmp_path / "t.db")
    expected = [row[0] for row in con.execute("select cast(a as text) from t")]
    con.close()
    assert [row["a"] for row in read(source, tmp_path).rows] == expected == ["x", "7", "1.5", "1.0e+300"]


def test_binary_data_among_texts_has_no_type(tmp_path: Path) -> None:
    said = problem(table(tmp_path, "a", ("x",), (b"y",)))
    assert "the column `a` of the source `t` holds values of several kinds: blob, text" in said
    assert "make a view" in said


def test_values_behind_the_sample_that_do_not_fit_are_named(tmp_path: Path) -> None:
    rows = [(n, "x") for n in range(20_480)]
    odd: list[tuple[Any, Any]] = [("three", "x"), (1.5, "x"), (4, b"y"), (5, "good")]
    source = table(tmp_path, "n, a", *rows, *odd)
    con = sqlite3.connect(tmp_path / "t.db")
    con.execute("insert into t values (6, cast(x'ff41' as text))")
    con.commit()
    con.close()
    done = read(good(tmp_path, '"t.db"'), tmp_path)
    assert types(source) == {"n": "BIGINT", "a": "VARCHAR"}
    assert len(done.rows) == 20_481
    assert [(row.place, row.code, row.reason) for row in done.account.bad] == [
        ("t.db:t:20481", "FTC210", "`n` holds 'three', not a whole number"),
        ("t.db:t:20482", "FTC210", "`n` holds 1.5, not a whole number"),
        ("t.db:t:20483", "FTC210", "`a` holds binary data, not text"),
        ("t.db:t:20485", "FTC211", "`a` is not UTF-8"),
    ]


def test_rows_come_in_the_order_of_their_key(tmp_path: Path) -> None:
    make(
        tmp_path / "t.db",
        "create table t (k text, n integer, primary key (k, n)) without rowid",
        "create table u (a text, rowid integer)",
        "create view v as select n, k from t",
        "insert into u values ('z', 9), ('y', 8)",
        rows=[("b", 2), ("a", 1), ("b", 1)],
    )

    def rows(name: str) -> list[tuple[Any, ...]]:
        source = good(tmp_path, f'{{ path = "t.db", table = "{name}" }}')
        return [tuple(row.values()) for row in read(source, tmp_path).rows]

    assert rows("t") == [("a", 1), ("b", 1), ("b", 2)]
    assert rows("u") == [("z", 9), ("y", 8)]
    assert rows("v") == [(1, "a"), (1, "b"), (2, "b")]


def test_which_table(tmp_path: Path) -> None:
    make(tmp_path / "t.db", "create table tickets (a)", "create table people (a)")
    finding = bad(tmp_path, '"t.db"')
    assert finding.code == "FTC106"
    assert "several tables: `people`, `tickets`" in finding.message
    finding = bad(tmp_path, '{ path = "t.db", table = "tickts" }')
    assert finding.code == "FTC201"
    assert "did you mean `tickets`?" in words(finding)
    assert finding.span is not None
    assert finding.span.source.text[finding.span.start : finding.span.end] == '"tickts"'
    assert good(tmp_path, '{ path = "t.db", table = "Tickets" }').step.options == {"table": "tickets"}


def test_a_database_of_nothing(tmp_path: Path) -> None:
    make(tmp_path / "t.db", "create table t (a)", "drop table t")
    assert "has no table" in bad(tmp_path, '"t.db"').message
    make(tmp_path / "u.db", "create table t (a text, b text)")
    source = good(tmp_path, '"u.db"')
    (choice,) = source.choices
    assert (choice.key, choice.value) == ("data.sources.t.table", "t")
    (found,) = job(source, tmp_path, "select a as prompt, b as completion from t").run().problems
    assert found.code == "FTC601"


def test_names_that_sql_would_stumble_over(tmp_path: Path) -> None:
    make(tmp_path / "t.db", 'create table "odd "" naïve" ("select" text, "a b" integer)')
    con = sqlite3.connect(tmp_path / "t.db")
    con.execute('insert into "odd "" naïve" values (?, ?)', ("x", 1))
    con.commit()
    con.close()
    assert read(good(tmp_path, '"t.db"'), tmp_path).rows == [{"select": "x", "a b": 1}]


def test_what_stands_in_the_journal_is_read(tmp_path: Path) -> None:
    con = sqlite3.connect(tmp_path / "t.db")
    con.execute("pragma journal_mode=wal")
    con.execute("pragma wal_autocheckpoint=0")
    con.execute("create table t (a text)")
    con.execute("insert into t values ('new')")
    con.commit()
    source = good(tmp_path, '"t.db"')
    assert [file.name for file in source.step.files] == ["t.db", "t.db-wal"]
    assert read(source, tmp_path).rows == [{"a": "new"}]
    con.execute("insert into t values ('newer')")
    con.commit()
    assert good(tmp_path, '"t.db"').step.sha256 != source.step.sha256
    con.close()


def test_nothing_is_written_beside_the_database(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    make(data / "t.db", "pragma journal_mode=wal", "create table t (a text)", rows=[("x",)])
    assert {path.name for path in data.iterdir()} == {"t.db"}
    assert read(good(tmp_path, '"data/t.db"'), tmp_path).rows == [{"a": "x"}]
    assert {path.name for path in data.iterdir()} == {"t.db"}


def test_a_damaged_database(tmp_path: Path) -> None:
    make(tmp_path / "t.db", "create table t (a text)", rows=[("x" * 500,) for _ in range(200)])
    content = (tmp_path / "t.db").read_bytes()
    (tmp_path / "t.db").write_bytes(content[:9000] + b"\xff" * 9000 + content[18000:])
    source = good(tmp_path, '"t.db"')
    said = ""
    try:
        (found,) = job(source, tmp_path, "select a as prompt, a as completion from t").run().problems
        assert found.code == "FTC210"
        said = found.message
    except AssertionError as described:
        said = str(described)
    assert "malformed" in said
