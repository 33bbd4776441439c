"""What a metric is: a name, which way is better, what it needs, and a score of one answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from ftc.diagnostics import Finding

Better = Literal["higher", "lower"]
Needs = Literal["answers", "loss", "labels", "choices", "pairs", "embeddings", "judge", "harness"]
"""What the runtime has to make of a model before the metric can be taken.

answers: a text generated for each prompt. loss: summed loss and tokens of each row. labels: the likeliest of
the suite's labels. choices: the likeliest of the row's own `choices`. pairs: one figure of the chosen and one
of the rejected answer. embeddings: row ids ranked for each query. judge: answers, then another model's
verdict. harness: the tasks of lm-evaluation-harness.
"""
Unit = Literal["tokens", "words", "characters", "lines"]
Form = Literal["json", "fenced", "bullets", "numbered", "one_line", "one_word", "uppercase", "lowercase"]
Normalise = Literal["none", "strip", "squad"]


@dataclass(frozen=True)
class Answer:
    """One example and what a model answered; `columns` are all columns of its row."""

    prompt: str
    answer: str
    reference: str = ""
    columns: Mapping[str, Any] = field(default_factory=dict)

    @property
    def references(self) -> tuple[str, ...]:
        """All answers that are right: the column `references` where there is one, or the reference."""
        several = self.columns.get("references")
        if isinstance(several, list | tuple) and several:
            return tuple(str(one) for one in several if one is not None)
        return (self.reference,)


class ScoreError(Exception):
    """A row cannot be scored because of what it or a user's metric says; FTC575."""


@dataclass(frozen=True)
class Options:
    """The settings of a suite that metrics read; a row's own column of the same name stands above them."""

    normalise: Normalise = "strip"
    pattern: str | None = None
    json_schema: Mapping[str, Any] | bool | None = None
    """The JSON Schema that an answer has to satisfy."""
    form: Form | None = None
    starts_with: str | None = None
    ends_with: str | None = None
    unit: Unit = "words"
    at_least: int | None = None
    at_most: int | None = None
    labels: tuple[str, ...] = ()
    tolerance: float = 0.0
    """How far a number may be from the reference, as a share of it."""
    k: int = 10
    """How many of the ranked rows a metric of retrieval looks at."""
    tests: str | Sequence[str] | None = None
    """Python that is run behind an answer's code; several are counted one by one."""
    seconds: float = 5.0
    """Time that an answer's code has with all its tests."""
    memory: int = 512
    """MiB that an answer's code may take."""
    count_tokens: Callable[[str], int] | None = None
    """Tokens of a text, by the model's own tokenizer; needed where `unit` is tokens."""
    columns: frozenset[str] = frozenset()
    """The columns of the suite's rows, as far as they are known; what a row states need not be an option."""

    def of(self, answer: Answer) -> Options:
        """These options with what the row's own columns say; raises ScoreError where one cannot be used."""
        own = {name: answer.columns[name] for name in OWN if answer.columns.get(name) is not None}
        return replace(self, **{name: _fitting(name, value) for name, value in own.items()}) if own else self


OWN: dict[str, tuple[Any, ...]] = {
    "pattern": (str,),
    "json_schema": (dict, bool),
    "form": get_args(Form),
    "starts_with": (str,),
    "ends_with": (str,),
    "unit": get_args(Unit),
    "at_least": (int,),
    "at_most": (int,),
    "tolerance": (int, float),
    "tests": (str, list),
}
"""The options that a row may state for itself, by a column of that name: their types, or their values."""


def _fitting(name: str, value: Any) -> Any:
    """A row's own option, a JSON Schema out of its text. Raises ScoreError where it cannot be used."""
    if name == "json_schema" and isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise ScoreError(f"the column `json_schema` is not JSON: {error}") from error
    if not any(value == one or type(value) is one for one in OWN[name]):
        raise ScoreError(f"the column `{name}` cannot be {value!r}")
    return value


Score = Callable[[Answer, Options], float | None]
Parts = Callable[[Answer, Options], tuple[float, ...]]
Combine = Callable[[Sequence[float]], float]


@dataclass(frozen=True)
class Metric:
    """One metric.

    `score` takes one answer, and is None for the metrics that the runtime derives itself; its result is None
    where an example cannot be scored, which then counts nowhere. A suite's figure is the mean of the scores,
    or, where `combine` is given, what it makes of the sums of all examples' `parts` (BLEU, perplexity).
    `check` tells before anything runs what is missing or wrong: a library, an option. Its findings have no
    span; the caller gives them one.
    """

    name: str
    title: str
    better: Better = "higher"
    needs: Needs = "answers"
    score: Score | None = None
    low: float = 0.0
    high: float | None = 1.0
    alone: bool = False
    """Whether it looks at an answer without a reference."""
    check: Callable[[Options], tuple[Finding, ...]] | None = None
    late: Callable[[Options], tuple[Finding, ...]] | None = None
    """What takes a library to find, which is looked for when a plan is made."""
    parts: Parts | None = None
    combine: Combine | None = None

    def problems(self, options: Options) -> tuple[Finding, ...]:
        """What is missing or wrong before anything runs."""
        return self.check(options) if self.check else ()

    def late_problems(self, options: Options) -> tuple[Finding, ...]:
        """What is wrong that takes a library to find; nothing where `problems` has said something."""
        return self.late(options) if self.late and not self.problems(options) else ()


def mean(scores: Sequence[float | None]) -> float | None:
    """The mean of the scores there are; None where there are none."""
    from math import fsum

    there = [score for score in scores if score is not None]
    return fsum(there) / len(there) if there else None
