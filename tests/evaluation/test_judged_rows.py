"""Answers are judged by the judge of the plan: its key, its kept replies, its failure as a code."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from judge_server import serving, verdict

from ftc.plan.steps import JudgeStep
from ftc.runtime.failure import BuildError
from ftc.runtime.judged import judged


def evaluator(endpoint: str, verdicts: Path, said: list[Any]) -> Any:
    step = JudgeStep(endpoint=endpoint, model="judge", key="FTC_TEST_JUDGE_KEY", prompt=None)
    return SimpleNamespace(
        settings=SimpleNamespace(name="tone", judge=step),
        asked=lambda number: f"Question {number}",
        reference=lambda _: None,
        columns=lambda _: {},
        stop=SimpleNamespace(check=lambda: None),
        emit=said.append,
        verdicts=verdicts,
    )


def test_rows_get_verdicts_and_a_rebuild_asks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTC_TEST_JUDGE_KEY", "sk-secret")
    said: list[Any] = []

    def by_number(body: dict[str, Any], _: int) -> str:
        return verdict(5) if "Question 0" in body["messages"][1]["content"] else "no verdict at all"

    with serving(by_number) as server:
        for _ in range(2):
            rows: list[dict[str, Any]] = [{"answer": "yes"}, {}, {"answer": "no"}]
            judged(evaluator(server.endpoint, tmp_path / "verdicts", said), rows)
    assert rows[0]["verdict"] == {"score": 1.0, "text": verdict(5)}
    assert "verdict" not in rows[1]
    assert rows[2]["verdict"] == {
        "score": None,
        "text": "no verdict at all",
        "problem": "the reply is not a verdict",
    }
    assert len(server.bodies) == 1 + 2 + 2  # the first row once, the third twice in each build
    assert set(server.keys) == {"Bearer sk-secret"}
    assert [one.done for one in said] == [1, 2, 1, 2]


def test_a_judge_that_refuses_fails_the_build_by_its_code(tmp_path: Path) -> None:
    with serving(lambda *_: ("no such model", 404)) as server, pytest.raises(BuildError) as raised:
        judged(evaluator(server.endpoint, tmp_path, []), [{"answer": "yes"}])
    assert raised.value.event.code == "FTC577"
