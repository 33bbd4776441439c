# ruff: noqa: E501 - a query is read best in one line
"""Recipes with queries and selections of every kind, from their text to the plan."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from data_requests import write_jsonl
from ftc import api
from ftc.diagnostics import Finding
from ftc.plan.steps import DataStep, Plan

MODEL = '[model]\nbase = "{model}"\n[train]\ndevice = "cpu"\n'
SOURCES = '[data]\nsources.tickets = "tickets.jsonl"\nsources.customers = "customers.jsonl"\nsources.general = "general.jsonl"\n'
PAIR = "select subject as prompt, reply as completion"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    tickets = [
        {
            "id": n,
            "customer": n % 7,
            "day": f"2025-01-{n % 28 + 1:02}",
            "rating": n % 5,
            "subject": f"case {n}",
            "reply": f" answer {n}",
        }
        for n in range(60)
    ]
    write_jsonl(tmp_path / "tickets.jsonl", tickets)
    write_jsonl(
        tmp_path / "customers.jsonl", [{"customer": n, "plan": "pro" if n % 2 else "free"} for n in range(7)]
    )
    write_jsonl(
        tmp_path / "general.jsonl",
        [{"prompt": f"general {n}", "completion": f" said {n}"} for n in range(200)],
    )
    return tmp_path


def planned(here: Path, model: Path, text: str, **settings: Any) -> tuple[Plan | None, tuple[Finding, ...]]:
    recipe = here / "recipe.toml"
    recipe.write_text(MODEL.format(model=model) + SOURCES + text, encoding="utf-8")
    result = api.plan(recipe, **settings)
    return result.plan, result.findings


def compiled(here: Path, model: Path, text: str, **settings: Any) -> tuple[Plan, DataStep]:
    plan, findings = planned(here, model, text, **settings)
    errors = [finding for finding in findings if finding.severity == "error"]
    assert not errors, errors
    assert plan is not None
    assert plan.data is not None
    assert plan.data.ledger.unexplained == 0
    return plan, plan.data


def chosen(plan: Plan) -> dict[str, Any]:
    return {choice.key: choice.value for choice in plan.choices}


QUERIES = {
    "join": (f"{PAIR} from tickets join customers using (customer) where plan = 'pro'", 26),
    "three sources": (
        f"{PAIR} from tickets join customers using (customer) union all select prompt, completion from general",
        260,
    ),
    "with": (
        f"with good as (select * from tickets where rating >= 3), pro as (select * from customers where plan = 'pro') {PAIR} from good join pro using (customer)",
        10,
    ),
    "window": (
        f"{PAIR} from tickets qualify row_number() over (partition by customer order by day desc, id) = 1",
        7,
    ),
    "group": (
        "select 'customer ' || customer as prompt, string_agg(reply, ';' order by id) as completion from tickets group by customer",
        7,
    ),
    "running": (
        "select subject || ' of ' || count(*) over (partition by customer) as prompt, reply as completion from tickets",
        60,
    ),
    "recursive": (
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 10) select subject || i as prompt, reply as completion from tickets join n on n.i = tickets.id",
        10,
    ),
    "subquery": (f"{PAIR} from tickets where id in (select max(id) from tickets group by customer)", 7),
}


@pytest.mark.parametrize(("sql", "rows"), QUERIES.values(), ids=QUERIES)
def test_queries_of_every_shape_are_compiled(here: Path, tiny_model: Path, sql: str, rows: int) -> None:
    _, data = compiled(here, tiny_model, f'query = "{sql}"\n')
    assert data.train.rows == rows


def test_a_query_file_and_its_parameters(here: Path, tiny_model: Path) -> None:
    (here / "rows.sql").write_text(
        f"{PAIR} from tickets\nwhere day::date >= $since and rating >= $least\n", "utf-8"
    )
    text = 'query = { file = "rows.sql" }\nparameters = { since = "2025-01-15", least = 3 }\n'
    plan, data = compiled(here, tiny_model, text)
    wanted = sum(n % 28 + 1 >= 15 and n % 5 >= 3 for n in range(60))
    assert data.train.rows == wanted
    assert plan.queries is not None
    assert plan.queries[0].parameters == {"since": "2025-01-15", "least": 3}
    other, more = compiled(here, tiny_model, text, set=["data.parameters.least=0"])
    assert more.train.rows > wanted
    assert other.queries != plan.queries


def test_a_parameter_is_a_value_and_no_sql(here: Path, tiny_model: Path) -> None:
    text = f"""parameters.word = "x' or '1' = '1"\nquery = "{PAIR} from tickets where subject = $word or id = 3"\n"""
    _, data = compiled(here, tiny_model, text)
    assert data.train.rows == 1


def test_a_failure_in_a_query_file_is_shown_there(here: Path, tiny_model: Path) -> None:
    (here / "rows.sql").write_text(
        "select subject as prompt,\n  subject::int::varchar as completion\nfrom tickets\n", "utf-8"
    )
    _, (finding,) = planned(here, tiny_model, 'query = { file = "rows.sql" }\n')
    assert finding.code == "FTC213"
    assert finding.span is not None
    assert finding.span.source.name == "rows.sql"
    assert finding.span.source.position(finding.span.start)[0] == 2


def test_infinite_parameters_are_no_parameters(here: Path, tiny_model: Path) -> None:
    for value in ("inf", "nan"):
        _, findings = planned(
            here, tiny_model, f'parameters.x = {value}\nquery = "{PAIR} from tickets where rating > $x"\n'
        )
        assert any(finding.code.startswith("FTC10") for finding in findings)


MIX = f"""
[data.mix.domain]
query = "{PAIR} from tickets"
weight = 0.8
repeat = 2
[data.mix.replay]
query = "select completion, prompt from general"
weight = 0.2
"""


def test_a_mix_is_a_choice_with_its_counts(here: Path, tiny_model: Path) -> None:
    plan, data = compiled(here, tiny_model, MIX)
    assert [(part.query, part.rows, part.used, part.trained) for part in data.mix] == [
        ("domain", 60, 60, 120),
        ("replay", 200, 30, 30),
    ]
    assert chosen(plan)["data.mix"] == {
        "domain": "60 of 60 rows, trained 120 times in all",
        "replay": "30 of 200 rows",
    }
    reason = next(choice.reason for choice in plan.choices if choice.key == "data.mix")
    assert "until `domain` is exhausted" in reason
    assert chosen(plan)["data.id"] == "QUERY/SOURCE:ROW"
    assert data.sequences is not None, "repeats are written down"
    fates = {line.fate: line.rows for line in data.ledger.lines}
    assert fates == {"unmixed": 170}


SPLITS = {
    "fraction": ("eval = 0.25", None),
    "count": ("eval = 9", 9),
    "group": ('eval = 0.3\ngroup = "customer"', None),
    "stratify": ('eval = 0.25\nstratify = "rating"', 15),
    "stratified count": ('eval = 10\nstratify = "rating"', 10),
    "query": ('query = "select id from tickets where rating = 4"', 12),
    "query of content": ('query = "select subject as prompt from tickets where id < 5"', 5),
    "query of a group": ("query = \"select customer from customers where plan = 'pro'\"", 26),
}


@pytest.mark.parametrize(("split", "held"), SPLITS.values(), ids=SPLITS)
def test_splits_of_every_kind(here: Path, tiny_model: Path, split: str, held: int | None) -> None:
    text = f'id = "id"\nquery = "{PAIR}, id, customer, rating from tickets"\n[data.split]\n{split}\n'
    plan, data = compiled(here, tiny_model, text)
    assert data.eval is not None
    assert data.train.rows + data.eval.rows == 60
    assert held is None or data.eval.rows == held
    assert plan.eval is not None, "what is held out is evaluated"
    assert all(choice.reason for choice in plan.choices)


def test_a_column_of_the_split(here: Path, tiny_model: Path) -> None:
    case = "case when id % 4 = 0 then 'test' else 'train' end as part"
    text = f'query = "{PAIR}, {case} from tickets"\nsplit.column = "part"\n'
    _, data = compiled(here, tiny_model, text)
    assert data.eval is not None
    assert data.eval.rows == 15
    bad = text.replace("else 'train'", "else 'rest'")
    _, findings = planned(here, tiny_model, bad)
    (finding,) = [finding for finding in findings if finding.severity == "error"]
    assert finding.code == "FTC226"
    assert finding.notes == (
        "'rest' in 45 rows",
        "such as tickets:2, tickets:3, tickets:4, tickets:6, tickets:7",
    )


def test_duplicates_and_what_is_compared(here: Path, tiny_model: Path) -> None:
    sql = (
        f"{PAIR}, id::varchar as number from tickets union all {PAIR}, id::varchar from tickets where id < 10"
    )
    plan, data = compiled(here, tiny_model, f'query = "{sql}"\ndedupe = "exact"\n')
    assert data.train.rows == 60
    assert chosen(plan)["data.dedupe.columns"] == ["completion", "prompt"]
    (line,) = [line for line in data.ledger.lines if line.fate == "duplicate"]
    assert line.rows == 10
    said = 'dedupe = { method = "near", similarity = 0.9, columns = ["prompt"] }\n'
    plan, _ = compiled(here, tiny_model, f'query = "{sql}"\n{said}')
    assert plan.selection is not None
    assert plan.selection.dedupe is not None
    assert plan.selection.dedupe.similarity == 0.9
    assert "data.dedupe.similarity" not in chosen(plan)
    assert chosen(plan)["data.dedupe"] == {"words": 3, "hashes": 128, "bands": plan.selection.dedupe.bands}


def test_a_library_that_is_missing_is_named(
    here: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    module = importlib.import_module("ftc.plan.passes.selection")
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "rensa" else found(name))
    _, findings = planned(here, tiny_model, f'query = "{PAIR} from tickets"\ndedupe = "near"\n')
    (finding,) = findings
    assert finding.code == "FTC225"
    assert "pip install 'ftc[dedupe]'" in finding.help[0]


def test_everything_at_once_makes_the_same_plan_twice(here: Path, tiny_model: Path) -> None:
    text = 'sample = 150\ndedupe = "exact"\nsplit.eval = 0.1\n' + MIX
    first, data = compiled(here, tiny_model, text)
    assert {line.fate for line in data.ledger.lines} >= {"sampled_out", "unmixed"}
    again, _ = compiled(here, tiny_model, text)
    assert again == first


def test_the_self_test_compares_threads(here: Path, tiny_model: Path) -> None:
    _, findings = planned(here, tiny_model, MIX, self_test=True)
    said = [finding for finding in findings if finding.code == "FTC224"]
    assert [finding.severity for finding in said] == ["note", "note"]
    assert "the query `domain` gives the same 60 rows with one thread" in said[0].message
