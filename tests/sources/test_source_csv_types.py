"""A CSV value that a template prints is the text in the file, whatever the type of its column."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment
from source_jobs import good, read, types

NUMBERS = st.sampled_from(
    [
        "0",
        "-0",
        "1",
        "007",
        "+5",
        "1.0",
        "1.50",
        "1.5",
        "-2.25",
        "1e3",
        "1E-7",
        ".5",
        "5.",
        "0.1",
        "1_000",
        "1,5",
        "-1",
        "12",
        "3.75",
    ]
)
OTHERS = st.sampled_from(
    [
        "true",
        "True",
        "FALSE",
        "False",
        "yes",
        "nan",
        "inf",
        "NULL",
        "2024-01-05",
        "2024-1-5",
        "2024-13-01",
        "2024-01-05 10:00:00",
        "2024-01-05T10:00:00",
        "2024-01-05 10:00",
        "2024-01-05 10:00:00.5",
        "2024-01-05 10:00:00.000000",
        "2024-01-05 10:00:00.123456",
        "9999-12-31",
        "0001-01-01",
        "12:30:00",
    ]
)
VALUES = (
    st.integers().map(str)
    | st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | st.decimals(allow_nan=False, allow_infinity=False, places=4).map(str)
    | st.dates().map(str)
    | st.datetimes().map(str)
    | st.text("0123456789.-+eE", min_size=1, max_size=24)
)
KINDS = (NUMBERS, OTHERS, VALUES, NUMBERS | VALUES, st.just("7") | NUMBERS)
COLUMN = st.sampled_from(KINDS).flatmap(lambda values: st.lists(values, min_size=3, max_size=3))
EDGES = [
    "9007199254740993",
    "0.30000000000000004",
    "100000000000000000000",
    "0.00001",
    "123456789012345.6",
    "1234567890123456.7",
    "0.0001",
    "-0.0",
    "1.7976931348623157e308",
    "0.1234567890123456",
    "9223372036854775808",
    "-9223372036854775808",
]

PRINTED = ImmutableSandboxedEnvironment().from_string("{{ value }}")


def write(path: Path, columns: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([f"c{number}" for number in range(len(columns))])
        writer.writerows(zip(*columns, strict=True))


def printed(tmp_path: Path, columns: list[list[str]]) -> list[list[str]]:
    write(tmp_path / "t.csv", columns)
    rows = read(good(tmp_path, '"t.csv"'), tmp_path).rows
    return [[PRINTED.render(value=row[name]) for row in rows] for name in rows[0]]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(COLUMN, min_size=20, max_size=40))
def test_a_template_prints_what_the_file_says(tmp_path: Path, columns: list[list[str]]) -> None:
    assert printed(tmp_path, columns) == columns


def test_a_template_prints_the_edges_of_numbers(tmp_path: Path) -> None:
    columns = [[text] for text in EDGES]
    assert printed(tmp_path, columns) == columns


def test_whole_numbers_stay_numbers(tmp_path: Path) -> None:
    values = [0, -1, 2**63 - 1, -(2**63)]
    write(tmp_path / "t.csv", [list(map(str, values))])
    assert [row["c0"] for row in read(good(tmp_path, '"t.csv"'), tmp_path).rows] == values


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1.5", "2.25"], "DOUBLE"),
        (["1.5", "2.50"], "VARCHAR"),
        (["1", "2.5"], "VARCHAR"),
        (["True", "False"], "BOOLEAN"),
        (["true", "false"], "VARCHAR"),
        (["2024-01-05 10:00:00", "2024-01-05 10:00:00.123456"], "TIMESTAMP"),
    ],
)
def test_clean_values_have_their_type(tmp_path: Path, values: list[str], expected: str) -> None:
    write(tmp_path / "t.csv", [values])
    assert types(good(tmp_path, '"t.csv"')) == {"c0": expected}


def test_a_value_behind_the_sample_decides_too(tmp_path: Path) -> None:
    numbers = list(map(str, range(30_001)))
    write(tmp_path / "t.csv", [[*numbers[:-1], "1.50"], numbers])
    source = good(tmp_path, '"t.csv"')
    assert types(source) == {"c0": "VARCHAR", "c1": "BIGINT"}
    rows: list[dict[str, Any]] = read(source, tmp_path).rows
    assert (len(rows), rows[-1]) == (30_001, {"c0": "1.50", "c1": 30_000})
