"""Metrics of a user's own: what is wrong is found without running them, and what they return is checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ftc.evaluation import Answer, Options, ScoreError
from ftc.evaluation.python_metric import load, problems

ROW = Answer("Say please.", "Please sit.", "please", {"id": 3, "limit": 4})


def found(directory: Path, text: str, named: str = "metrics.py:polite") -> list[tuple[str, str]]:
    (directory / "metrics.py").write_text(text, encoding="utf-8")
    return [(one.code, one.message + " | " + " ".join(one.help)) for one in problems(named, directory)]


@pytest.mark.parametrize(
    "signature",
    [
        "answer",
        "answer, reference",
        "*, prompt, answer, columns",
        "answer, weight=2",
        "**row",
        "reference, answer",
    ],
)
def test_a_function_that_takes_what_a_metric_is_given(tmp_path: Path, signature: str) -> None:
    assert found(tmp_path, f"raise SystemExit  # not run\ndef polite({signature}): ...") == []


@pytest.mark.parametrize(
    ("text", "named", "code", "says"),
    [
        ("", "other.py:polite", "FTC573", "other.py cannot be read"),
        ("", "metrics.py", "FTC573", "names no function"),
        ("def polit(answer): ...", "metrics.py:polite", "FTC573", 'write "metrics.py:polit"'),
        ("x = 1", "metrics.py:polite", "FTC573", "there are: none"),
        ("def polite(", "metrics.py:polite", "FTC573", "is not Python"),
        ("def polite(text): ...", "metrics.py:polite", "FTC574", "takes `text`"),
        ("def polite(answer, *, model): ...", "metrics.py:polite", "FTC574", "takes `model`"),
        ("def polite(answer, /): ...", "metrics.py:polite", "FTC574", "by its position alone"),
        ("def polite(prompt): ...", "metrics.py:polite", "FTC574", "does not take `answer`"),
        ("async def polite(answer): ...", "metrics.py:polite", "FTC574", "is async"),
        ("class polite: ...", "metrics.py:polite", "FTC573", "has no function"),
    ],
)
def test_what_is_wrong_is_found_before(tmp_path: Path, text: str, named: str, code: str, says: str) -> None:
    ((code_found, message),) = found(tmp_path, text, named)
    assert code_found == code
    assert says in message
    assert str(tmp_path) not in message


def score(body: str, signature: str = "prompt, answer, reference, columns") -> Any:
    text = f"import math\ndef polite({signature}):\n    {body}\n"
    metric = load("metrics.py:polite", text, name="polite", better="lower")
    assert (metric.name, metric.better) == ("polite", "lower")
    assert metric.score is not None
    return metric.score(ROW, Options())


def test_a_score_is_made_of_what_the_function_takes() -> None:
    assert score("return reference in answer.lower()") == 1.0
    assert score("return columns['limit'] / 8") == 0.5
    assert score("return len(row)", "**row") == 4
    assert score("return weight", "answer, weight=2") == 2
    assert score("return None") is None
    assert isinstance(score("return True"), float)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return 'yes'", "returns 'yes'"),
        ("return math.nan", "returns nan"),
        ("return math.inf", "returns inf"),
        ("return [1]", "returns list"),
        ("return 1 / 0", "ZeroDivisionError"),
        ("return columns['none']", "KeyError"),
    ],
)
def test_what_is_no_score(body: str, says: str) -> None:
    with pytest.raises(ScoreError, match=says):
        score(body)


def test_a_file_that_cannot_be_run() -> None:
    with pytest.raises(ScoreError, match="fails when it is read: ModuleNotFoundError"):
        load("metrics.py:f", "import no_such_module", name="f")
    with pytest.raises(ScoreError, match="no function"):
        load("metrics.py:f", "", name="f")


def test_a_row_cannot_be_changed_by_a_metric() -> None:
    score("columns.clear()\n    return 1")
    assert ROW.columns == {"id": 3, "limit": 4}
