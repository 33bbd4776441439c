"""The part of the recipe language that says what is measured, on which rows, and what must come of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Field, JsonValue, Strict, Tag

from ftc.evaluation import METRICS
from ftc.recipe.base import Strings, Table, Text
from ftc.recipe.rows import Query, Secret, SourceEntry

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


class Eval(Table):
    """A suite: what is measured before and after training, on the held-out rows or on rows of its own."""

    name: Name | None = None
    """The suite's name in reports; `held_out`, or the shipped suite's, unless given."""

    suite: Text | None = None
    """A suite that ftc ships, instead of rows of one's own."""

    sources: Annotated[dict[str, SourceEntry], Field(min_length=1)] | None = None
    """Names and places which the suite's query may read; those of [data] unless given."""

    query: Query | None = None
    """One SELECT whose rows are measured: `prompt` and `reference`, or the columns of the training rows."""

    metrics: Annotated[tuple[MetricEntry, ...], Strict(strict=False), Field(min_length=1)] | None = None
    """What is measured, by name, or functions of one's own."""

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
    """Longest answer that is generated, in tokens."""

    batch: Annotated[int, Field(ge=1)] = 32
    """Rows evaluated at a time."""

    normalise: Literal["none", "strip", "squad"] | None = None
    """How answers and references are made alike before they are compared."""

    pattern: Text | None = None
    """The regular expression of metrics that match one."""

    json_schema: dict[str, JsonValue] | None = None
    """The JSON Schema that answers must satisfy."""

    form: (
        Literal["json", "fenced", "bullets", "numbered", "one_line", "one_word", "uppercase", "lowercase"]
        | None
    ) = None
    """The form that answers must have."""

    starts_with: Text | None = None
    """What answers must begin with."""

    ends_with: Text | None = None
    """What answers must end with."""

    unit: Literal["tokens", "words", "characters", "lines"] | None = None
    """What the length of an answer is counted in."""

    at_least: Annotated[int, Field(ge=0)] | None = None
    """Shortest answer that is right, in `unit`."""

    at_most: Annotated[int, Field(ge=0)] | None = None
    """Longest answer that is right, in `unit`."""

    tolerance: Annotated[float, Field(ge=0)] | None = None
    """How far a number may be from the reference, as a share of it."""

    k: Annotated[int, Field(ge=1)] | None = None
    """How many of the ranked rows a metric of retrieval looks at."""

    judge: Judge | None = None
    """The model that judges answers."""

    @property
    def own_rows(self) -> bool:
        """Whether the suite has rows of its own, instead of the held-out ones."""
        return not (self.query is None and self.sources is None and self.suite is None)


OPTIONS = (
    "normalise",
    "pattern",
    "json_schema",
    "form",
    "starts_with",
    "ends_with",
    "unit",
    "at_least",
    "at_most",
    "tolerance",
    "k",
)
"""The keys of a suite that metrics read, named as in `ftc.evaluation.Options`."""


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
