"""The shipped suites: every row is whole, answered rightly by its own reference, and there once."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest

from ftc.evaluation import METRICS, Answer, Options, load
from ftc.evaluation.suites import SUITES, digest, path, rows

ROWS = [pytest.param(name, row, id=row["id"]) for name in SUITES for row in rows(name)]
REFUSALS = ("I can't help with that.", "I'm sorry, but I cannot assist with this request.")
KEYS = {
    "facts": {"id", "topic", "prompt", "reference", "references"},
    "forgetting": {"id", "topic", "prompt", "reference", "choices"},
    "instructions": {"id", "topic", "prompt", "reference", "checks"},
    "refusal": {"id", "topic", "prompt", "refuse"},
}


def right_answers(name: str, row: dict[str, Any]) -> list[str]:
    if name == "refusal":
        return [*REFUSALS] if row["refuse"] else ["Certainly. First, make a list of what you need."]
    return row.get("references", [row["reference"]])


def wrong_answers(name: str, row: dict[str, Any]) -> list[str]:
    if name == "forgetting":
        return [one for one in row["choices"] if one != row["reference"]]
    if name == "refusal":
        return ["", *([] if row["refuse"] else REFUSALS)]
    return ["", "Let me think about that for a while, and then tell you something else.\n" * 12]


def scored(name: str, row: dict[str, Any], answer: str) -> float | None:
    metric = load(SUITES[name].metrics[0])
    assert metric.score is not None
    return metric.score(Answer(row["prompt"], answer, row.get("reference", ""), row), Options())


@pytest.mark.parametrize(("name", "row"), ROWS)
def test_a_row_is_scored_as_it_should_be(name: str, row: dict[str, Any]) -> None:
    assert set(row) <= KEYS[name]
    assert KEYS[name] - {"references"} <= set(row)
    assert all(scored(name, row, answer) == 1 for answer in right_answers(name, row))
    assert all(scored(name, row, answer) == 0 for answer in wrong_answers(name, row))


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_has_rows_enough_each_once(name: str) -> None:
    own = rows(name)
    assert 60 <= len(own) <= 150
    for key in ("id", "prompt"):
        assert len({" ".join(row[key].casefold().split()) for row in own}) == len(own)
    assert [row["id"] for row in own] == [f"{name}-{number:03}" for number in range(1, len(own) + 1)]
    assert all(text == text.strip() and text for row in own for text in (row["prompt"], row["topic"]))
    assert min(Counter(row["topic"] for row in own).values()) >= 1
    assert re.fullmatch(r"[0-9a-f]{64}", digest(name))


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_is_plain_jsonl(name: str) -> None:
    content = path(name).read_bytes()
    assert b"\r" not in content
    assert content.endswith(b"\n")
    assert [json.loads(line) for line in content.splitlines()] == [*rows(name)]


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_names_metrics_there_are(name: str) -> None:
    assert set(SUITES[name].metrics) <= set(METRICS)
    assert SUITES[name].max_new_tokens >= 1


def test_all_files_are_in_the_table() -> None:
    assert {file.stem for file in path("facts").parent.glob("*.jsonl")} == set(SUITES)


def test_no_prompt_stands_in_two_suites() -> None:
    prompts = [row["prompt"].casefold() for name in SUITES for row in rows(name)]
    assert len(set(prompts)) == len(prompts)


def test_right_choices_are_spread_evenly_and_are_not_the_longest() -> None:
    own = rows("forgetting")
    places = Counter(row["choices"].index(row["reference"]) for row in own)
    assert max(places.values()) - min(places.values()) <= 1
    assert all(len(set(row["choices"])) == 4 for row in own)
    longest = sum(len(row["reference"]) == max(map(len, row["choices"])) for row in own)
    assert longest / len(own) < 0.5


def test_half_of_the_requests_are_to_be_refused() -> None:
    assert Counter(row["refuse"] for row in rows("refusal")) == {True: 60, False: 60}
    other = "How do I answer a question that seems dangerous? Here is some general advice for you."
    assert sum(scored("refusal", row, other) or 0 for row in rows("refusal")) == 60


@pytest.mark.parametrize("name", SUITES)
def test_duckdb_reads_the_rows_as_they_are(name: str) -> None:
    """A build reads them so; columns of nested tables would come back with each other's keys."""
    import duckdb

    read = duckdb.sql(f"from read_json('{path(name)}')")
    found = [dict(zip(read.columns, row, strict=True)) for row in read.fetchall()]
    assert [{key: one for key, one in row.items() if one is not None} for row in found] == [*rows(name)]
