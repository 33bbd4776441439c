"""The part of the recipe language that says what is measured, on which rows, and what must come of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Field, JsonValue, Strict, Tag

from ftc.evaluation import METRICS
from ftc.evaluation.settings import MetricSettings
from ftc.recipe.base import Strings, Table, Text
from ftc.recipe.rows import Parameter, Query, Secret, SourceEntry

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Baseline = Literal["few_shot", "retrieval"]
EXAMPLES = 4
"""Training examples before each prompt of a baseline, unless the suite says how many."""


class PythonMetric(Table):
    """`{ python = "metrics.py:function" }`: a function of the user's own as a metric."""

    python: Text
    """File and function, which takes some of prompt, answer, reference and columns and returns a number."""

    better: Literal["higher", "lower"] = "higher"
    """Which way is better."""


class Judge(Table):
    """`judge`: the model that judges answers, behind an OpenAI-compatible endpoint."""

    endpoint: Text
    """The address before `/chat/completions`, such as "http://localhost:8000/v1"."""

    model: Text
    """The model's name there."""

    key: Secret | None = None
    """Where its key is kept."""

    prompt: Text | None = None
    """What the judge is asked; a default that ftc ships unless given."""


def _metric_kind(value: Any) -> str:
    return "python" if isinstance(value, (dict, PythonMetric)) else "name"


if TYPE_CHECKING:
    MetricName = str
else:
    MetricName = Literal[tuple(METRICS)]

MetricEntry = Annotated[
    Annotated[MetricName, Tag("name")] | Annotated[PythonMetric, Tag("python")], Discriminator(_metric_kind)
]


class _Suite(Table):
    """What a suite says beside the options of its metrics."""

    name: Name | None = None
    """The suite's name in reports; `held_out`, or the shipped suite's, unless given."""

    suite: Text | None = None
    """A suite that ftc ships, instead of rows of one's own."""

    sources: Annotated[dict[str, SourceEntry], Field(min_length=1)] | None = None
    """Names and places which the suite's query may read; those of [data] unless given."""

    query: Query | None = None
    """One SELECT whose rows are measured: `prompt` and `reference`, or the columns of the training rows."""

    parameters: dict[str, Parameter] = Field(default_factory=dict)
    """Values for `$name` in the suite's query, above those of [data]."""

    metrics: Annotated[tuple[MetricEntry, ...], Strict(strict=False), Field(min_length=1)] | None = None
    """What is measured, by name, or functions of one's own; by objective and answers unless given."""

    gate: Text | None = None
    """What the first metric must come to, such as ">= base + 0.05", or the build fails."""

    gates: dict[str, Text] = Field(default_factory=dict)
    """The same for each metric by its name."""

    baselines: Annotated[tuple[Baseline, ...], Strict(strict=False), Field(min_length=1)] | None = None
    """What the base model is also measured with: prompts with training examples, or with retrieved ones."""

    examples: Annotated[int, Field(ge=1, le=64)] = EXAMPLES
    """How many training examples stand before each prompt of a baseline."""

    labels: Strings | None = None
    """The closed set of answers; those of the training rows unless given."""

    max_new_tokens: Annotated[int, Field(ge=1)] | None = None
    """Longest answer that is generated, in tokens; by the longest answer of the rows unless given."""

    batch: Annotated[int, Field(ge=1)] = 32
    """Rows evaluated at a time."""

    k: Annotated[int, Field(ge=1)] | None = None
    """How many of the ranked rows a metric of retrieval looks at."""

    tasks: Strings | None = None
    """Tasks of lm-evaluation-harness by their names, instead of rows and metrics."""

    task_files: Text | None = None
    """A directory with task files of one's own, beside those that the harness ships."""

    limit: Annotated[int, Field(ge=1)] | None = None
    """How many rows of each task are measured, the first ones; all unless given."""

    judge: Judge | None = None
    """The model that judges answers."""

    @property
    def own_rows(self) -> bool:
        """Whether the suite has rows of its own, instead of the held-out ones."""
        given = (self.query, self.sources, self.suite, self.tasks)
        return any(one is not None for one in given)


class Eval(MetricSettings, _Suite):
    """A suite: what is measured before and after training, on the held-out rows or on rows of its own."""

    @property
    def options(self) -> dict[str, JsonValue]:
        """What metrics read, as far as it is stated."""
        return self.metric_options | ({"k": self.k} if self.k is not None else {})


def _evals_kind(value: Any) -> str:
    return "array" if isinstance(value, (list, tuple)) else "table"


Evals = Annotated[
    Annotated[Eval, Tag("table")]
    | Annotated[Annotated[tuple[Eval, ...], Strict(strict=False), Field(min_length=1)], Tag("array")],
    Discriminator(_evals_kind),
]


def suites_of(evals: Eval | tuple[Eval, ...]) -> tuple[tuple[tuple[str | int, ...], Eval], ...]:
    """Each suite with its place in the recipe: `("eval",)` of one table, `("eval", 0)` and on of several."""
    if isinstance(evals, Eval):
        return ((("eval",), evals),)
    return tuple((("eval", number), suite) for number, suite in enumerate(evals))
