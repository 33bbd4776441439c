# ruff: noqa: E501 - a query is read best in one line
"""Shapes of SQL that hang on the order of rows: named at their place with what to write, and no others."""

from __future__ import annotations

import pytest

from data_requests import source, write_jsonl
from ftc.facts.query import Described, describe
from ftc.facts.sources import ResolvedSource

ROWS = [{"id": n, "who": f"w{n % 3}", "day": n % 5, "text": f"t{n}", "score": n / 7} for n in range(20)]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> tuple[ResolvedSource, ...]:
    here = tmp_path_factory.mktemp("stability")
    parts = [{"id": n, "owner": n % 20, "word": f"x{n}"} for n in range(30)]
    found = (("t", ROWS), ("u", parts))
    return tuple(source(write_jsonl(here / f"{name}.jsonl", rows), name=name) for name, rows in found)


def warned(sources: tuple[ResolvedSource, ...], sql: str) -> list[tuple[str, str]]:
    described = describe(sources, sql)
    assert not described.problems, described.problems
    return [(sql[one.start : one.end], one.help[0]) for one in described.warnings]


UNSTABLE = [
    ("select who, list(text) as a from t group by who", "list(text)", "write list(text order by rowid)"),
    (
        "select who, array_agg(text) as a from t group by who",
        "array_agg(text)",
        "array_agg(text order by rowid)",
    ),
    (
        "select who, string_agg(text, ', ') filter (where day > 1) as a from t group by all",
        "string_agg(text, ', ') filter (where day > 1)",
        "write string_agg(text, ', ' order by rowid)",
    ),
    ("select who, group_concat(text) as a from t group by who", "group_concat(text)", "order by rowid)"),
    ("select list(distinct who) as a from t", "list(distinct who)", "write list(distinct who order by who)"),
    (
        "select json_group_array(text) as a from t",
        "json_group_array(text)",
        "to_json(list(text order by rowid))",
    ),
    ("select who, mode(day) as a from t group by who", "mode(day)", "write mode(day order by day)"),
    (
        "select any_value(text) as a from t",
        "any_value(text)",
        "write min(text), or any_value(text order by rowid)",
    ),
    (
        "select first(text) as a, last(text) as b from t",
        "first(text)",
        "write min(text), or first(text order by",
    ),
    (
        "select sum(score) as a from t",
        "sum(score)",
        "write sum(score order by score), or sum(score::decimal(18, 6))",
    ),
    (
        "select who, avg(score * 2) as a from t group by who",
        "avg(score * 2)",
        "avg(score * 2 order by score * 2)",
    ),
    ("select stddev(day) as a from t", "stddev(day)", "write stddev(day order by day)"),
    ("select corr(day, id) as a from t", "corr(day, id)", "write corr(day, id order by day, id)"),
    ("select entropy(day) as a from t", "entropy(day)", "write round(entropy(day), 6)"),
    (
        "select approx_count_distinct(who) as a from t",
        "approx_count_distinct(who)",
        "write count(distinct who)",
    ),
    (
        "select approx_quantile(id, 0.5) as a from t",
        "approx_quantile(id, 0.5)",
        "write quantile_cont(id, 0.5)",
    ),
    ("select hash(text) as a from t", "hash(text)", "write md5(…::varchar)"),
    ("select text, row_number() over () as n from t", "row_number() over ()", "over (… order by rowid)"),
    (
        "select text, lag(text) over (partition by who) as n from t",
        "lag(text) over (partition by who)",
        "write lag(…) over (… order by rowid)",
    ),
    (
        "select text, sum(score) over (partition by who) as n from t",
        "sum(score) over (partition by who)",
        "write sum(score order by score) over (…), or sum(score::decimal(18, 6)) over (…)",
    ),
    (
        "select a.text from (select text, id from t limit 5) a join u on u.id = a.id",
        "5",
        "write order by rowid limit …",
    ),
    ("select t.text from t join u on u.owner = t.id limit 3", "3", "write order by t.rowid, u.rowid limit …"),
    ("select text from t union all select word from u limit 4", "4", "write order by KEY limit …"),
    (
        "select text, (select word from u where u.owner = t.id limit 1) as w from t",
        "1",
        "write order by rowid limit …",
    ),
    (
        "select t.text, u.word from t positional join u",
        "positional join u",
        "join on a key that both sides have",
    ),
    (
        "with c as (select who, list(text) as texts from t group by who) select * from c where len(texts) > 1",
        "list(text)",
        "write list(text order by rowid)",
    ),
    (
        "select * from (pivot t on day in (1, 2) using list(text) group by who)",
        "list(text)",
        "write list(text order by KEY)",
    ),
]


@pytest.mark.parametrize(("sql", "place", "help_"), UNSTABLE)
def test_unstable_places(sources: tuple[ResolvedSource, ...], sql: str, place: str, help_: str) -> None:
    found = warned(sources, sql)
    assert found, "nothing is said"
    assert found[0][0] == place
    assert help_.replace("KEY", "\0key") in found[0][1] or help_.replace("\0key", "KEY") in found[0][1]


STABLE = [
    "select * from t",
    "select * from t order by day limit 5",
    "select distinct on (who) * from t order by who, day",
    "select text from t where day > 2 limit 7",
    "select who, list(text order by text) as a from t group by who",
    "select who, list(text order by day, text) as a from t group by who",
    "select who, list(text order by rowid) as a from t group by who",
    "select who, list_sort(list(text)) as a, len(list(day)) as n from t group by who",
    "select who, list_sort(list(distinct text)) as a from t group by who",
    "select who, unnest(list(text)) as a from t group by who",
    "select who, count(*) as n, sum(day) as s, avg(id) as m, min(text) as a, max(score) as b from t group by who",
    "select sum(score::decimal(18, 6)) as a, avg(day::decimal(9, 2)) as b from t",
    "select sum(score order by score) as a, stddev(score order by score) as b, mode(day order by day) as c from t",
    "select corr(day, id order by day, id) as a from t",
    "select median(score) as a, quantile_cont(score, 0.9) as b, mad(score) as c, histogram(day) as d from t",
    "select who, any_value(who) as a from t group by who",
    "select who, arg_max(text, (day, text)) as a, max_by(day, day) as b from t group by who",
    "select who, any_value(text order by rowid) as a from t group by who",
    "select text, rank() over (order by day) as a, dense_rank() over (partition by who order by day) as b from t",
    "select text, row_number() over (partition by who order by day, rowid) as n from t",
    "select text, lag(text) over (order by rowid) as n from t",
    "select text, sum(day) over (partition by who order by day) as n, count(*) over () as m from t",
    "select text, sum(score) over (partition by who order by rowid) as n from t",
    "select text, max(id) over (order by rowid rows unbounded preceding) as n from t order by rowid limit 3",
    "select who, count(*) as n from t group by who order by n desc, who limit 2",
    "select who, count(*) as n from t group by all order by all limit 2",
    "select count(*) as n, max(text) as m from t limit 1",
    "select a.text, word from (select * from t order by rowid limit 5) a join u on u.owner = a.id",
    "select a.text, word from (select text, day from t order by day, text limit 5) a join u on u.owner = a.day",
    "select t.text, u.word from t join u on u.owner = t.id order by t.rowid, u.rowid limit 5",
    "select text from t where exists (select 1 from u where u.owner = t.id limit 1)",
    "select text from t union select word from u order by text limit 3",
    "select text from t except select word from u",
    "select md5(text) as a from t where md5(id::varchar) < '8'",
    "with recursive r(i) as (select 1 union all select i + 1 from r where i < 5) select i, text from r join t on t.id = i",
    "select t.who, list(u.word order by t.rowid, u.rowid) as a from t join u on u.owner = t.id group by t.who",
    "select * from t where 1 = 0 limit 0",
]


@pytest.mark.parametrize("sql", STABLE)
def test_no_false_alarm(sources: tuple[ResolvedSource, ...], sql: str) -> None:
    assert warned(sources, sql) == []


def error(sources: tuple[ResolvedSource, ...], sql: str) -> tuple[str, str, str]:
    described: Described = describe(sources, sql)
    (problem,) = described.problems
    return problem.code, sql[problem.start : problem.end], problem.help[0]


@pytest.mark.parametrize(
    ("sql", "place", "help_"),
    [
        ("select random() as a from t", "random()", "md5(key::varchar)"),
        ("select uuid() as a from t", "uuid()", "md5(key::varchar)"),
        ("select gen_random_uuid() as a from t", "gen_random_uuid()", "make an id"),
        ("select now() as a from t", "now()", "date '2025-01-31'"),
        ("select text from t where today() > date '2020-01-01'", "today()", "write a date as a constant"),
        ("select current_timestamp as a from t", "current_timestamp", "write a date as a constant"),
        ("select age(date '2020-01-01') as a from t", "age(date '2020-01-01')", "name the day"),
        ("select ago(interval 1 day) as a from t", "ago(interval 1 day)", ""),
        ("select pg_postmaster_start_time() as a from t", "pg_postmaster_start_time()", "write a date"),
        ("select reservoir_quantile(id, 0.5) as a from t", "reservoir_quantile(id, 0.5)", "quantile_cont"),
    ],
)
def test_what_differs_on_every_run_is_an_error(
    sources: tuple[ResolvedSource, ...], sql: str, place: str, help_: str
) -> None:
    code, found, said = error(sources, sql)
    assert (code, found) == ("FTC215", place)
    assert help_ in said


@pytest.mark.parametrize(
    "sql",
    [
        "select * from t using sample 3",
        "select * from t tablesample 10%",
        "select * from t using sample 10 percent (bernoulli)",
        "select * from (select * from t using sample 3 rows) a",
    ],
)
def test_samples_of_the_query_are_errors(sources: tuple[ResolvedSource, ...], sql: str) -> None:
    described = describe(sources, sql)
    assert {problem.code for problem in described.problems} == {"FTC215"}
    assert "sample = 0.1 in [data]" in described.problems[0].help[0]


def test_two_ages_need_no_today(sources: tuple[ResolvedSource, ...]) -> None:
    described = describe(sources, "select age(date '2020-01-01', date '2019-01-01') as a from t")
    assert described.problems == ()
