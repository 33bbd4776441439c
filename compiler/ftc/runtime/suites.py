"""All suites of a plan: put to the model before and after, told as events, and reported in the run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftc.artifact.files import sha256, write_bytes, write_json, write_text
from ftc.evaluation import report
from ftc.evaluation.gates import Condition
from ftc.facts.file_list import sealed, unsealed
from ftc.plan.steps import EvalStep, Part
from ftc.runtime import rows as compiled
from ftc.runtime.evaluate import Evaluator, Host, Row, When
from ftc.runtime.events import Evaluation, Event, Phase
from ftc.runtime.job import Job
from ftc.runtime.ready import Ready
from ftc.runtime.stop import Stop
from ftc.runtime.tasks import TaskSuite
from ftc.runtime.tasks import verify as verify_tasks
from ftc.runtime.vocabulary import tokenizer_directory

ANSWERS = "answers"
"""The directory of the run with each suite's rows: prompts, references, answers and scores."""

BEFORE = "before.json"
HELD_OUT = "held_out"
Found = dict[str, list[Row]]


def parts_of(plan: Ready) -> Iterator[Part]:
    """The compiled rows of suites and baselines."""
    for step in plan.suites:
        yield from (step.rows.part,) if step.rows else ()
        yield from (baseline.part for baseline in step.baselines)


@dataclass(frozen=True)
class Suites:
    """The evaluators of a plan by the suite's name; those of its baselines by suite and kind."""

    plan: Ready
    evaluators: dict[str, Evaluator | TaskSuite]
    baselines: dict[tuple[str, str], Evaluator]
    emit: Callable[[Event], None] = field(repr=False)

    @classmethod
    def make(cls, plan: Ready, job: Job, *, emit: Callable[[Event], None], stop: Stop) -> Suites:
        """The suites of a plan that have rows, with the model's own tokenizer."""
        words = tokenizer_directory(plan, job)
        host = Host.make(plan, job.data, words, emit=emit, stop=stop, verdicts=job.verdicts)
        rows = {step.name: Evaluator.make(host, step, part) for step, part in with_rows(plan)}
        own: dict[tuple[str, str], Evaluator] = {
            (step.name, one.kind): Evaluator.make(host, step, one.part, rows[step.name])
            for step, _ in with_rows(plan)
            for one in step.baselines
        }
        tasks = {step.name: TaskSuite.make(host, step) for step in plan.suites if step.harness is not None}
        return cls(plan, {**rows, **tasks}, own, emit)

    def __call__(self, model: Any, when: When) -> Found:
        """Put every suite to the model; the entries of its rows by the suite's name."""
        if not self.evaluators:
            return {}
        self.emit(Phase("evaluate", when))
        found = {name: evaluator(model) for name, evaluator in self.evaluators.items()}
        if when in ("before", "after"):
            self.emit(Evaluation("before" if when == "before" else "after", self.metrics(found)))
        return found

    def metrics(self, found: Found) -> dict[str, float | int]:
        """Every metric's value: of the held-out rows by its name, of other suites behind the suite's name."""
        return {
            key: value
            for name, rows in found.items()
            for key, value in report.flat(
                self._metrics(name), rows, "" if name == HELD_OUT else f"{name}."
            ).items()
        }

    def _metrics(self, name: str) -> list[Any]:
        return self.evaluators[name].metrics

    def before(self, model: Any, job: Job) -> Found:
        """The measurement before training, kept for a start that resumes the same plan; baselines too."""
        stored = _kept(job)
        if stored is not None:
            for name, state in stored["tasks"].items():
                self._tasks[name].restore(state)
            known: Found = stored["rows"]
            self.emit(Evaluation("before", self.metrics(known)))
            return known
        found = self(model, "before")
        if not found:
            return found
        tasks = {name: suite.state for name, suite in self._tasks.items()}
        made = {"plan": sha256(job.plan), "rows": found, "baselines": self._baselines(model), "tasks": tasks}
        text = json.dumps(made, ensure_ascii=False)
        write_bytes(job.work / BEFORE, sealed(text.encode()))
        again: Found = json.loads(text)["rows"]  # what a start that resumes will read
        return again

    @property
    def _tasks(self) -> dict[str, TaskSuite]:
        """The suites whose tasks are known once they are measured."""
        return {name: one for name, one in self.evaluators.items() if isinstance(one, TaskSuite)}

    def _baselines(self, model: Any) -> dict[str, dict[str, list[Row]]]:
        """The base model with training examples before each prompt, by suite and kind."""
        found: dict[str, dict[str, list[Row]]] = {}
        for (name, kind), evaluator in self.baselines.items():
            self.emit(Phase("evaluate", kind.replace("_", " ")))
            entries = dict(zip(evaluator.ids, evaluator(model), strict=True))
            lacking: Row = {"scores": {}, "parts": {}}
            ids = self.evaluators[name].ids
            found.setdefault(name, {})[kind] = [entries.get(id_, lacking) for id_ in ids]
        return found

    def write(self, before: Found, after: Found, job: Job) -> dict[str, Any]:
        """Write eval.json and the rows of each suite; the metrics before and after."""
        baselines = (_kept(job) or {})["baselines"] if self.baselines else {}
        suites = [
            self._suite(name, before[name], after[name], baselines.get(name, {})) for name in self.evaluators
        ]
        for name in self.evaluators:
            lines = self._lines(name, before[name], after[name], baselines.get(name, {}))
            (job.run / ANSWERS).mkdir(exist_ok=True)
            write_text(job.run / ANSWERS / f"{name}.jsonl", "".join(lines))
        found: dict[str, Any] = {
            "before": self.metrics(before),
            "after": self.metrics(after),
            "suites": suites,
        }
        found["gates"] = [gate for suite in suites for gate in suite["gates"]]
        if not self.evaluators:
            found["note"] = "No row is held out, so nothing was measured."
        write_json(job.run / "eval.json", found)
        return found

    def _suite(
        self, name: str, before: list[Row], after: list[Row], baselines: dict[str, list[Row]]
    ) -> dict[str, Any]:
        metrics, step, seed = self._metrics(name), self.evaluators[name].settings, self.plan.seed
        figures = {metric.name: report.figure(metric, before, seed) for metric in metrics}
        trained = {metric.name: report.figure(metric, after, seed) for metric in metrics}
        gates = [
            report.judged(
                report.Gate(gate.metric, Condition(gate.comparison, gate.factor, gate.offset), gate.text),
                figures[gate.metric],
                trained[gate.metric],
            )
            for gate in step.gates
        ]
        return {
            "suite": name,
            "rows": len(after),
            "metrics": [report.metric_report(metric, before, after, seed) for metric in metrics],
            "gates": [{"suite": name, **gate} for gate in gates],
            "baselines": [self._baseline(kind, metrics, rows, after) for kind, rows in baselines.items()],
            "tokens": {"before": report.tokens_an_answer(before), "after": report.tokens_an_answer(after)},
        }

    def _baseline(self, kind: str, metrics: list[Any], rows: list[Row], after: list[Row]) -> dict[str, Any]:
        """The base model with examples, compared with the trained model, which comes after."""
        compared = [report.metric_report(metric, rows, after, self.plan.seed) for metric in metrics]
        figures = [
            {"metric": one["metric"], "value": one["before"], "to_tuned": one["change"]} for one in compared
        ]
        return {"baseline": kind, "metrics": figures, "tokens": report.tokens_an_answer(rows)}

    def _lines(
        self, name: str, before: list[Row], after: list[Row], baselines: dict[str, list[Row]]
    ) -> Iterator[str]:
        evaluator = self.evaluators[name]
        for number, id_ in enumerate(evaluator.ids):
            sides = {"before": before[number], "after": after[number]}
            sides |= {kind: rows[number] for kind, rows in baselines.items()}
            line = {"id": id_, "prompt": evaluator.asked(number), "reference": evaluator.reference(number)}
            yield json.dumps({**line, **sides}, ensure_ascii=False, allow_nan=False) + "\n"


def _kept(job: Job) -> dict[str, Any] | None:
    """The measurement before training that an earlier start kept; None without one, or if it is damaged."""
    file = job.work / BEFORE
    value = unsealed(file.read_bytes()) if file.is_file() else None
    stored: dict[str, Any] | None = None if value is None else json.loads(value)
    return stored if stored is not None and stored["plan"] == sha256(job.plan) else None


def with_rows(plan: Ready) -> list[tuple[EvalStep, Part]]:
    """The suites that have rows, each with the part that has them."""
    held = plan.data.eval if plan.data.eval and plan.data.eval.rows else None
    of_rows = [step for step in plan.suites if step.harness is None]
    pairs = [(step, step.rows.part if step.rows else held) for step in of_rows]
    return [(step, part) for step, part in pairs if part is not None and part.rows]


def verify(plan: Ready, data: Path) -> None:
    """Raise BuildError unless the rows of suites and baselines are those of the plan."""
    for part in parts_of(plan):
        compiled.verify(part, data)
    verify_tasks(plan, data)
