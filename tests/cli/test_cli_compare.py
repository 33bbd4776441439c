"""`ftc compare` on hand-made runs: figures against counting by hand, flips, what cannot be compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ftc.jobs.comparing import compare

RIGHT = {"one": [1, 0, 1, 0, 1, 1], "two": [1, 1, 1, 0, 0, 1]}


def write_run(run: Path, right: list[int], *, suite: str = "held_out", first: int = 0) -> Path:
    (run / "answers").mkdir(parents=True)
    metrics = [{"metric": "exact_match", "title": "exact match", "better": "higher"}]
    told = {"before": {}, "after": {}, "suites": [{"suite": suite, "rows": len(right), "metrics": metrics}]}
    (run / "eval.json").write_text(json.dumps(told), encoding="utf-8")
    lines = [
        {
            "id": f"r:{first + number}",
            "prompt": f"question {first + number}",
            "reference": "yes",
            "before": {},
            "after": {
                "answer": "yes" if score else "no",
                "scores": {"exact_match": float(score)},
                "parts": {},
            },
        }
        for number, score in enumerate(right)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (run / "answers" / f"{suite}.jsonl").write_text(text, encoding="utf-8")
    return run


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    one, two = (write_run(tmp_path / name, right) for name, right in RIGHT.items())
    return one, two


def test_figures_and_flips(runs: tuple[Path, Path]) -> None:
    (suite,) = compare(*runs).suites
    (metric,) = suite.metrics
    assert metric["old"]["value"] == pytest.approx(4 / 6)
    assert metric["new"]["value"] == pytest.approx(4 / 6)
    assert metric["change"]["difference"] == 0
    assert metric["change"]["p_value"] == 1
    assert [(flip.id, flip.way) for flip in suite.flips] == [
        ("r:1", "wrong to right"),
        ("r:4", "right to wrong"),
    ]


def test_rows_that_one_lacks_are_left_out(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", [1, 1, 1])
    two = write_run(tmp_path / "two", [0, 0, 0], first=2)
    (suite,) = compare(one, two).suites
    assert (suite.rows, [flip.id for flip in suite.flips]) == (1, ["r:2"])


def test_what_was_measured_later_counts(runs: tuple[Path, Path]) -> None:
    for run in runs:
        write_run(run.with_name(f"{run.name}.evals") / "0123", [1, 0], suite="more")
    assert [suite.suite for suite in compare(*runs).suites] == ["held_out", "more"]


def test_json_and_text(ftc: Any, runs: tuple[Path, Path]) -> None:
    ran = ftc("compare", *map(str, runs))
    assert ran.code == 0
    assert "exact match: 1 from wrong to right, 1 from right to wrong" in ran.out
    assert "+ r:1  question 1" in ran.out
    (result,) = json.loads(ftc("compare", "--json", *map(str, runs)).out)["results"]
    assert result["ok"]
    assert result["suites"][0]["flips"][1]["new"] == "no"


def test_nothing_in_common(ftc: Any, tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", [1])
    two = write_run(tmp_path / "two", [1], suite="other")
    ran = ftc("compare", str(one), str(two))
    assert ran.code == 3
    assert "FTC733" in ran.err
    assert "suites of the first: `held_out`; of the second: `other`" in " ".join(ran.err.split())


def test_no_run(ftc: Any, tmp_path: Path) -> None:
    ran = ftc("compare", str(tmp_path), str(tmp_path / "none"))
    assert ran.code == 3
    assert "is no run that was measured" in " ".join(ran.err.split())
