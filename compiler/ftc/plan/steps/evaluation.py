"""What is measured before training and after."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from ftc.plan.account import Ledger
from ftc.plan.steps.base import FileDigest
from ftc.plan.steps.rows import Part, RenderStep
from ftc.plan.steps.sources import QueryStep, SourceStep
from ftc.recipe.base import Frozen


class SuiteRows(Frozen):
    """Rows of a suite's own: what they were made of, the compiled part, and the account of all of them.

    `shipped` names the suite of ftc's own that they are. Where there are no `references`, a stand-in was
    rendered in their place: prompts can be answered, and nothing else can be measured.
    """

    shipped: str | None = None
    sources: tuple[SourceStep, ...]
    query: QueryStep
    render: RenderStep
    part: Part
    ledger: Ledger
    references: bool = True


class FunctionStep(Frozen):
    """A metric of the user's own: the function `named` as `file.py:function`, and the file as it is kept."""

    name: str
    named: str
    file: FileDigest
    better: Literal["higher", "lower"]


class GateStep(Frozen):
    """What a metric must come to after training, compared with `factor` times the base's plus `offset`.

    `factor` is 0 where the base's value has no say. `text` is how the recipe writes it.
    """

    metric: str
    comparison: Literal[">=", ">", "<=", "<"]
    factor: float
    offset: float
    text: str


class BaselineStep(Frozen):
    """The suite's rows with training examples before each prompt, as the base model alone is measured.

    `examples` of them stand before each prompt, taken from `pool` training rows.
    """

    kind: Literal["few_shot", "retrieval"]
    examples: int
    pool: int
    part: Part
    ledger: Ledger


class JudgeStep(Frozen):
    """The model that judges answers; `key` names the environment variable that has its key."""

    endpoint: str
    model: str
    key: str | None
    prompt: str | None


class HarnessStep(Frozen):
    """Tasks of lm-evaluation-harness, by its version; `files` are the user's, under a directory of that name.

    `limit` takes the first rows of each task alone.
    """

    tasks: tuple[str, ...]
    version: str
    directory: str | None = None
    files: tuple[FileDigest, ...] = ()
    limit: int | None = None


class EvalStep(Frozen):
    """A suite: what is measured before and after training, on the held-out rows or on `rows` of its own.

    `metrics` are names of `ftc.evaluation.METRICS` and of `functions`; `options` what they read. Tasks of the
    `harness` bring rows and metrics of their own, which are known once they are measured.
    """

    metrics: tuple[str, ...]
    labels: tuple[str, ...]
    max_new_tokens: int
    batch: int
    name: str = "held_out"
    rows: SuiteRows | None = None
    options: dict[str, JsonValue] = Field(default_factory=dict)
    functions: tuple[FunctionStep, ...] = ()
    gates: tuple[GateStep, ...] = ()
    baselines: tuple[BaselineStep, ...] = ()
    judge: JudgeStep | None = None
    harness: HarnessStep | None = Field(default=None, exclude_if=lambda step: step is None)
