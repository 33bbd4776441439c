"""Tasks of lm-evaluation-harness as a suite: rows and metrics are the tasks' own, known once measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import chdir, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.artifact.files import sha256
from ftc.evaluation import Metric, harness
from ftc.evaluation.harness import SamplingError, TaskResult
from ftc.plan.steps import EvalStep, HarnessStep
from ftc.runtime.events import Event, Progress
from ftc.runtime.failure import BuildError
from ftc.runtime.harness import Asked
from ftc.runtime.ready import Ready
from ftc.runtime.stop import Stop

if TYPE_CHECKING:
    from ftc.runtime.evaluate import Host, Row

FETCH = "lm-eval run --model dummy --limit 1 --tasks {}"
"""What fetches the rows of tasks into the cache from which they are read without a network."""


@dataclass(frozen=True)
class TaskMetric:
    """A metric of a task; one that is `single` is a figure of the whole task, whose rows have no scores."""

    name: str
    better: str
    single: bool


@dataclass(frozen=True)
class Known:
    """What the tasks turned out to be: their metrics, and id, prompt and reference of each row."""

    metrics: tuple[TaskMetric, ...]
    rows: tuple[tuple[str, str, str], ...]


@dataclass
class TaskSuite:
    """The tasks of one suite, ready to be put to a model. `known` is what they were when last measured."""

    plan: Ready
    settings: EvalStep
    data: Path
    tokenizer: Any = field(repr=False)
    emit: Callable[[Event], None] = field(repr=False)
    stop: Stop = field(repr=False)
    known: Known = field(default_factory=lambda: Known((), ()))

    @classmethod
    def make(cls, host: Host, settings: EvalStep) -> TaskSuite:
        """The tasks of a suite over the user's files where they lie beside the rows."""
        return cls(host.plan, settings, host.data, host.tokenizer, host.emit, host.stop)

    @property
    def state(self) -> dict[str, Any]:
        """What is known, as JSON has it."""
        return asdict(self.known)

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what another start found out."""
        metrics = tuple(TaskMetric(**one) for one in state["metrics"])
        self.known = Known(metrics, tuple((row[0], row[1], row[2]) for row in state["rows"]))

    @property
    def metrics(self) -> list[Metric]:
        """The tasks' metrics, each behind the name of its task."""
        return [
            Metric(
                one.name,
                one.name,
                better="lower" if one.better == "lower" else "higher",
                needs="harness",
                combine=_alone if one.single else None,
                high=None if one.single else 1.0,
            )
            for one in self.known.metrics
        ]

    @property
    def ids(self) -> list[str]:
        """Ids of the rows of all tasks: task and number."""
        return [id_ for id_, _, _ in self.known.rows]

    def asked(self, row: int) -> str:
        """The prompt of a row."""
        return self.known.rows[row][1]

    def reference(self, row: int) -> str:
        """The answer that is wanted."""
        return self.known.rows[row][2]

    def __call__(self, model: Any) -> list[Row]:
        """Put every task to the model; an entry for each row. Raises BuildError and StoppedError."""
        step = self.settings.harness
        assert step is not None  # noqa: S101 - the caller has looked
        own = self.data / step.directory if step.directory else None
        model.eval()
        asked = Asked(self.plan, model, self.tokenizer, self.stop.check, self.settings.batch)
        self.emit(Progress("tasks", 0, len(step.tasks)))
        found = _measured(step, asked, own.resolve() if own else None, self.plan.seed)
        self.emit(Progress("tasks", len(step.tasks), len(step.tasks)))
        rows = self._entries(found)
        measured = {one.name for one in self.known.metrics}
        for gate in self.settings.gates:
            if gate.metric not in measured:
                raise _no_metric(gate.metric, self.settings.name, sorted(measured))
        return rows

    def _entries(self, found: Sequence[TaskResult]) -> list[Row]:
        """An entry for each row of all tasks; one figure of a whole task stands with its first row."""
        entries: dict[str, Row] = {}
        told: dict[str, tuple[str, str, str]] = {}
        metrics = []
        for one in found:
            name = f"{one.task}.{one.metric}"
            metrics.append(TaskMetric(name, one.better, single=not one.scores))
            rows = {f"{one.task}:{row.number}": row for row in one.rows}
            for id_, row in rows.items():
                told.setdefault(id_, (id_, row.prompt, row.reference))
                entries.setdefault(id_, {"answer": row.answer, "scores": {}, "parts": {}})
            for id_, score in zip(rows, one.scores, strict=False):
                entries[id_]["scores"][name] = score
            if not one.scores:
                first = next(iter(rows), one.task)
                told.setdefault(first, (first, "", ""))
                entries.setdefault(first, {"scores": {}, "parts": {}})["parts"][name] = [one.value]
        self.known = Known(tuple(metrics), tuple(told.values()))
        return list(entries.values())


def _alone(sums: Sequence[float]) -> float:
    """The figure of a task, which is all that there is to add up."""
    return sums[0]


def _measured(step: HarnessStep, asked: Asked, own: Path | None, seed: int) -> tuple[TaskResult, ...]:
    """The tasks' figures; paths in the user's task files start at their directory."""
    with chdir(own) if own else nullcontext():
        try:
            return harness.measured(step.tasks, asked.functions(), own=own, seed=seed, limit=step.limit)
        except SamplingError as error:
            raise BuildError("FTC567", str(error), "leave the task out") from error
        except (OSError, ValueError, ImportError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            message = f"the tasks {', '.join(step.tasks)} cannot be measured: {reason}"
            fetch = FETCH.format(",".join(step.tasks))
            raise BuildError("FTC567", message, f"fetch rows that come from a hub once: {fetch}") from error


def _no_metric(name: str, suite: str, there: list[str]) -> BuildError:
    message = f"the gate is about `{name}`, which the tasks of `{suite}` do not measure"
    return BuildError("FTC568", message, f"measured are {', '.join(there)}")


def verify(plan: Ready, data: Path) -> None:
    """Raise BuildError unless the user's task files are those of the plan."""
    for step in plan.suites:
        own = step.harness
        for file in own.files if own else ():
            path = data / str(own.directory if own else "") / file.name
            if not path.is_file() or sha256(path) != file.sha256:
                raise BuildError("FTC706", f"the task file `{file.name}` is not what the plan says")
