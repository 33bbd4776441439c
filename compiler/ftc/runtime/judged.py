"""Answers judged by another model, behind the endpoint that the plan names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ftc.diagnostics.secrets import scrubbed
from ftc.evaluation import Answer
from ftc.evaluation.chat import Chat
from ftc.evaluation.judge import Judge, JudgeError
from ftc.runtime.events import Progress
from ftc.runtime.failure import BuildError

if TYPE_CHECKING:
    from ftc.runtime.evaluate import Evaluator, Row


def judged(evaluator: Evaluator, rows: list[Row]) -> None:
    """The verdict on each answer, from 0 to 1, with the judge's own words; raises BuildError (FTC577)."""
    step = evaluator.settings.judge
    if step is None:
        raise BuildError("FTC577", f"the suite `{evaluator.settings.name}` names no judge")
    numbers = [number for number, entry in enumerate(rows) if "answer" in entry]
    asked = [
        Answer(
            evaluator.asked(number),
            rows[number]["answer"],
            evaluator.reference(number) or "",
            evaluator.columns(number),
        )
        for number in numbers
    ]
    key = os.environ.get(step.key) if step.key else None
    judge = Judge(Chat(step.endpoint, step.model, key), step.prompt, evaluator.verdicts)

    def told(done: int, total: int) -> None:
        evaluator.stop.check()
        evaluator.emit(Progress("verdicts", done, total))

    try:
        verdicts = judge(asked, told)
    except JudgeError as error:
        raise BuildError("FTC577", str(error)) from error
    for number, verdict in zip(numbers, verdicts, strict=True):
        problem = {"problem": scrubbed(verdict.problem)} if verdict.problem else {}
        rows[number]["verdict"] = {"score": verdict.score, "text": scrubbed(verdict.text), **problem}
