"""What DuckDB says of a query before a row is read, and the mistakes it finds, at their places."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from data_requests import CSV, source, write_jsonl
from ftc.facts.query import Described, describe
from ftc.facts.sources import ResolvedSource

TICKET = {"prompt": "é?", "completion": "b", "n": 1, "messages": [{"role": "user", "content": "x"}]}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> tuple[ResolvedSource, ...]:
    directory = tmp_path_factory.mktemp("sources")
    (directory / "c.csv").write_text("id,name,score,day\n1,x,2.5,2020-01-01\n2,y,3.0,2020-02-01\n")
    tickets = write_jsonl(directory / "t.jsonl", [TICKET])
    return source(tickets, name="tickets"), source(directory / "c.csv", name="people")


def codes(described: Described) -> list[tuple[str, str]]:
    return [(p.code, described.sql[p.start : p.end]) for p in described.problems]


def test_columns_are_those_that_duckdb_describes(sources: tuple[ResolvedSource, ...]) -> None:
    sql = "select prompt || ' ' as p, n + 1 as m, messages, t.score from tickets join people t on t.id = n"
    described = describe(sources, sql)
    con = duckdb.connect()
    for item in sources:
        con.execute(f"create table {item.step.name} as from '{item.paths[0]}'")
    judged = con.execute("describe " + sql).fetchall()
    assert [(c.name, c.type) for c in described.columns] == [(row[0], row[1]) for row in judged]


@pytest.mark.parametrize(
    ("sql", "traced"),
    [
        ("select * from tickets", "tickets"),
        ("from tickets", "tickets"),
        ("select prompt as p from tickets t where n > 1 order by 1 limit 3", "tickets"),
        ("select distinct on (n) prompt from tickets", "tickets"),
        (
            "select prompt from tickets qualify row_number() over (partition by n order by prompt) = 1",
            "tickets",
        ),
        ("select prompt from tickets where n in (select id from people)", "tickets"),
        ("select distinct prompt from tickets", None),
        ("select prompt, count(*) from tickets group by all", None),
        ("select count(*) from tickets", None),
        ("select unnest(messages) from tickets", None),
        ("select prompt from tickets order by all limit 1", None),
        ("select prompt from tickets union all select name from people", None),
        ("with t as (select * from tickets) select * from t", None),
        ("select prompt from tickets join people on n = id", None),
        ("select i from range(3) r(i)", None),
    ],
)
def test_which_queries_can_be_traced(
    sources: tuple[ResolvedSource, ...], sql: str, traced: str | None
) -> None:
    described = describe(sources, sql)
    assert not described.problems
    assert described.traced_source == traced


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("selec prompt from tickets", [("FTC203", "selec")]),
        ("select 'é', from from tickets", [("FTC203", "from")]),
        ("select prompt + 1 from tickets", [("FTC203", "+")]),
        ("select lenght(prompt) from tickets", [("FTC203", "lenght(prompt)")]),
        ("select n as a, prompt as A from tickets", [("FTC203", "select n as a, prompt as A from tickets")]),
        ("select 'é', promt from tickets", [("FTC204", "promt")]),
        (
            "select promt, n as ñ, complet from tickets\nwhere nn > 1 and promt = ''",
            [("FTC204", "promt"), ("FTC204", "complet"), ("FTC204", "nn"), ("FTC204", "promt")],
        ),
        ("select tickets.foo, x from tickets", [("FTC204", "tickets.foo"), ("FTC204", "x")]),
        ("select * exclude (zz) from tickets", [("FTC204", "zz")]),
        ("select * from ticket", [("FTC205", "ticket")]),
        ("select * from tickets t join persons using (id)", [("FTC205", "persons")]),
        ("select a.x from tickets", [("FTC205", "a.x")]),
        ("", [("FTC206", "")]),
        ("select 1; select 2", [("FTC206", "select 2")]),
        ("drop table tickets", [("FTC206", "drop table tickets")]),
        ("describe tickets", [("FTC206", "describe tickets")]),
        ("explain select 1", [("FTC206", "explain select 1")]),
        ("copy tickets to 'x.csv'", [("FTC206", "copy tickets to 'x.csv'")]),
        ("attach 'x.duckdb'", [("FTC206", "attach 'x.duckdb'")]),
        ("set threads = 1", [("FTC206", "set threads = 1")]),
        ("install httpfs", [("FTC206", "install httpfs")]),
        ("pragma database_list", [("FTC206", "pragma database_list")]),
        (
            "insert into tickets select * from tickets",
            [("FTC206", "insert into tickets select * from tickets")],
        ),
        ("select * from read_csv('/etc/passwd')", [("FTC207", "read_csv('/etc/passwd')")]),
        ("select * from '/etc/passwd'", [("FTC207", "'/etc/passwd'")]),
        ("select * from 'other.parquet'", [("FTC207", "'other.parquet'")]),
        ("select * from 'https://example.org/x.csv'", [("FTC207", "'https://example.org/x.csv'")]),
        ("select * from glob('*')", [("FTC207", "glob('*')")]),
        ("select getenv('HOME') from tickets", [("FTC207", "getenv('HOME')")]),
        ("select current_setting('threads')", [("FTC207", "current_setting('threads')")]),
        ("select * from information_schema.tables", [("FTC207", "information_schema.tables")]),
        ("select * from duckdb_settings()", [("FTC207", "duckdb_settings()")]),
        ("select * from query('select 1')", [("FTC207", "query('select 1')")]),
        ("select random() from tickets", [("FTC215", "random()")]),
        ("select prompt from tickets where current_date > '2020-01-01'", [("FTC215", "current_date")]),
    ],
)
def test_mistakes_at_their_places(
    sources: tuple[ResolvedSource, ...], sql: str, expected: list[tuple[str, str]]
) -> None:
    assert codes(describe(sources, sql)) == expected


def test_help_names_what_was_meant(sources: tuple[ResolvedSource, ...]) -> None:
    assert "`prompt`" in describe(sources, "select promt from tickets").problems[0].help[0]
    assert "`tickets`" in describe(sources, "select prompt from tickts").problems[0].help[0]
    quotes = describe(sources, 'select prompt from tickets where prompt = "spam mail"').problems[0]
    assert "'spam mail'" in quotes.help[0]


def test_an_insert_hidden_in_with_is_no_select(sources: tuple[ResolvedSource, ...]) -> None:
    sql = "with x as (insert into tickets select * from tickets returning *) select * from x"
    assert [code for code, _ in codes(describe(sources, sql))] == ["FTC206"]


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("a,b\n1,x\n,y\n", ["BIGINT", "VARCHAR"]),
        ("a,b\n007,x\n008,y\n", ["VARCHAR", "VARCHAR"]),
        ("a,b\n1.5,True\n2.0,False\n", ["DOUBLE", "BOOLEAN"]),
        ("a,b\n1.5,true\n2,false\n", ["VARCHAR", "VARCHAR"]),
        ("a,b\n1.50,-0\n+5,1e3\n", ["VARCHAR", "VARCHAR"]),
        ("a,b\nnan,inf\n", ["VARCHAR", "VARCHAR"]),
        ("a,b\n2020-01-01,2020-01-01 10:00:00\n", ["DATE", "TIMESTAMP"]),
        ("a,b\n2020-13-01,12345678901234567890123\n", ["VARCHAR", "VARCHAR"]),
        ("a,b\n,\n", ["VARCHAR", "VARCHAR"]),
        ("a,b\n1,x\n2\n3,y\n", ["BIGINT", "VARCHAR"]),
    ],
)
def test_types_of_csv_columns(tmp_path: Path, text: str, types: list[str]) -> None:
    (tmp_path / "a.csv").write_text(text)
    described = describe([source(tmp_path / "a.csv")], "select * from t")
    assert [column.type for column in described.columns] == types


@pytest.mark.parametrize(
    ("name", "text", "options", "words"),
    [
        ("a.csv", "a;b\n1;2\n", CSV, 'delimiter = ";"'),
        ("a.csv", "a,A\n1,2\n", CSV, "several columns named"),
        ("a.csv", "a,b\n1,2\n", {**CSV, "columns": {"x": "INT"}}, "`columns` names `x`"),
        ("a.csv", "a,b\n1,2\n", {**CSV, "columns": {"a": "NOPE"}}, "cannot be read as csv"),
        ("a.jsonl", "[1]\n", {}, "are not JSON objects"),
        ("a.parquet", "hello", {}, "cannot be read as parquet"),
    ],
)
def test_a_source_that_does_not_fit(
    tmp_path: Path, name: str, text: str, options: dict[str, object], words: str
) -> None:
    (tmp_path / name).write_text(text)
    (problem,) = describe([source(tmp_path / name, options=options)], "select * from t").problems
    assert (problem.code, problem.source) == ("FTC202", "t")
    assert words in " ".join([problem.message, *problem.help])
    assert str(tmp_path) not in problem.message
