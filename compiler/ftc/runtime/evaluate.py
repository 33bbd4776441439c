"""One suite put to a model: what its metrics need is measured, and each row gets its scores."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from ftc.evaluation import Answer, Metric, Options, ScoreError, load
from ftc.plan.steps import EvalStep, Part
from ftc.runtime.collate import class_of
from ftc.runtime.events import Event, Progress
from ftc.runtime.failure import BuildError
from ftc.runtime.heldout import Heldout, in_batches, label_tokens, stop_tokens
from ftc.runtime.metric_files import functions_of
from ftc.runtime.ready import Ready
from ftc.runtime.stop import Stop

When = Literal["before", "after", "few_shot", "retrieval"]
Row = dict[str, Any]

SPOKEN = {"answers": "answer", "labels": "label", "choices": "choice"}
"""The entry of a row that stands as the model's answer, by what a metric needs."""


@dataclass(frozen=True)
class Host:
    """What all evaluators of a plan share: the compiled rows' place, the tokenizer, whom to tell.

    `verdicts` is where replies of judges are kept.
    """

    plan: Ready
    data: Path
    tokenizer: Any
    emit: Callable[[Event], None] = field(repr=False)
    stop: Stop = field(repr=False)
    verdicts: Path | None = None

    @classmethod
    def make(
        cls,
        plan: Ready,
        data: Path,
        model: Path,
        *,
        emit: Callable[[Event], None],
        stop: Stop,
        verdicts: Path | None = None,
    ) -> Host:
        """The host with the model's own tokenizer."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        return cls(plan, data, tokenizer, emit, stop, verdicts)


@dataclass(frozen=True)
class Evaluator:
    """The rows of a suite, ready to be put to a model.

    Those of a baseline have training examples in their prompts; `plain` has the suite's own.
    """

    plan: Ready
    settings: EvalStep
    heldout: Heldout
    tokenizer: Any
    stops: list[int]
    labels: dict[str, list[int]]
    functions: Mapping[str, Metric]
    emit: Callable[[Event], None] = field(repr=False)
    stop: Stop = field(repr=False)
    plain: Evaluator | None = None
    verdicts: Path | None = None

    @classmethod
    def make(cls, host: Host, settings: EvalStep, part: Part, plain: Evaluator | None = None) -> Evaluator:
        """The evaluator of one suite over the rows of a part; those of a baseline stand for `plain` rows."""
        plan, data, tokenizer = host.plan, host.data, host.tokenizer
        heldout = Heldout.read(part, data)
        stops = stop_tokens(plan, heldout, tokenizer)
        parts = (plan.data.train, plan.data.eval) if settings.rows is None else (part,)
        names = settings.labels if plan.objective.head == "vocabulary" else ()
        labels = label_tokens(plan, data, names, parts=parts, tokenizer=tokenizer, stops=stops)
        functions = functions_of(settings.functions, data)
        told = (host.emit, host.stop, plain, host.verdicts)
        return cls(plan, settings, heldout, tokenizer, stops, labels, functions, *told)

    def metric(self, name: str) -> Metric:
        """A metric of the suite: one of the table, or one of the user's own."""
        return self.functions[name] if name in self.functions else load(name)

    @property
    def metrics(self) -> list[Metric]:
        """The metrics of the suite, in its order."""
        return [self.metric(name) for name in self.settings.metrics]

    @property
    def ids(self) -> list[str]:
        """Ids of the rows, in order."""
        return self.heldout.ids

    def __call__(self, model: Any) -> list[Row]:
        """Put every row to the model; an entry for each, in order. Raises StoppedError between batches."""
        import torch

        from ftc.runtime.measures import measure

        rows: list[Row] = [{} for _ in self.heldout.ids]
        metrics = self.metrics
        model.eval()
        with torch.no_grad():
            for needs in dict.fromkeys("answers" if one.needs == "judge" else one.needs for one in metrics):
                measure(needs, self.plan.objective.head)(self, model, rows)
        if any(one.needs == "judge" for one in metrics):
            from ftc.runtime.judged import judged

            judged(self, rows)
        self._score(metrics, rows)
        return rows

    def batches(self, numbers: list[int], lengths: list[int]) -> list[list[int]]:
        """Row numbers in batches of like lengths, the shortest first."""
        return in_batches(numbers, lengths, size=self.settings.batch, vocabulary=self.plan.model.vocabulary)

    def in_turn(self, numbers: list[int], lengths: list[int], what: str) -> Iterator[list[int]]:
        """The same batch by batch; tells the progress and heeds a stop."""
        done = 0
        for batch in self.batches(numbers, lengths):
            self.stop.check()
            yield batch
            done += len(batch)
            self.emit(Progress(what, done, len(numbers)))

    @property
    def pad(self) -> int:
        """The token that fills batches up."""
        return self.plan.tokenizer.pad_id

    @property
    def prompt_lengths(self) -> list[int]:
        """Tokens before the answer of each row, 0 where it has none."""
        return [length or 0 for length in self.heldout.prompt_lengths]

    @property
    def options(self) -> Options:
        """What the suite's metrics read."""

        def count_tokens(text: str) -> int:
            return len(self.tokenizer.encode(text, add_special_tokens=False).ids)

        stated: dict[str, Any] = {"labels": self.settings.labels, "count_tokens": count_tokens}
        stated.update(self.settings.options)
        return Options(**stated)

    def asked(self, row: int) -> str:
        """The prompt as text: the row's own column, or what its tokens say."""
        if self.plain is not None:
            return self.plain.asked(self._plain_row(row))
        own = self.columns(row).get("prompt")
        if isinstance(own, str):
            return own
        return str(self.tokenizer.decode(self.heldout.prompt(row), skip_special_tokens=True))

    def columns(self, row: int) -> dict[str, Any]:
        """All columns of a row, where the suite has its own rows."""
        if self.plain is not None:
            return self.plain.columns(self._plain_row(row))
        carried = self.heldout.carried[row]
        return dict(json.loads(carried)) if carried else {}

    def _plain_row(self, row: int) -> int:
        """The row of the suite that a baseline's row stands for."""
        assert self.plain is not None  # noqa: S101 - the caller has looked
        return self.plain.numbers[self.heldout.ids[row]]

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each row by its id."""
        return {id_: number for number, id_ in enumerate(self.heldout.ids)}

    def reference(self, row: int) -> str | None:
        """The answer that is wanted, None where the row has none."""
        carried = self.heldout.carried[row]
        if self.plan.objective.head == "classes" and carried:
            return class_of(carried)
        known = self.settings.rows is None or self.settings.rows.references
        return self.heldout.targets[row] if known else None

    def _score(self, metrics: list[Metric], rows: list[Row]) -> None:
        options = self.options
        for row, entry in enumerate(rows):
            entry["scores"], entry["parts"] = {}, {}
            for metric in metrics:
                self._one(metric, row, entry, options)

    def _one(self, metric: Metric, row: int, entry: Row, options: Options) -> None:
        """The score of a row, and its parts where the suite's figure is made of those."""
        if metric.needs == "loss":
            if entry.get("tokens"):
                entry["scores"][metric.name] = entry["loss"]
                entry["parts"][metric.name] = [entry["loss"] * entry["tokens"], entry["tokens"]]
            return
        if metric.needs == "judge":
            entry["scores"][metric.name] = entry.get("verdict", {}).get("score")
            return
        spoken = entry.get(SPOKEN.get(metric.needs, ""))
        if metric.score is None or (spoken is None and metric.needs in SPOKEN):
            return
        columns = {**self.columns(row), **entry.get("columns", {})}
        answer = Answer(self.asked(row), spoken or "", self.reference(row) or "", columns)
        try:
            own = options.of(answer)
            entry["scores"][metric.name] = metric.score(answer, own)
            if metric.parts is not None:
                entry["parts"][metric.name] = list(metric.parts(answer, own))
        except ScoreError as error:
            message = f"the metric `{metric.name}` cannot score the row {self.heldout.ids[row]} of the suite "
            again = "mend the row or the metric, and run the same command again: what was trained is kept"
            raise BuildError("FTC575", f"{message}`{self.settings.name}`: {error}", again) from error
