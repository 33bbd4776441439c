"""The plan's nodes: frozen, fully resolved steps which serialise to canonical JSON.

A plan is what the runtime executes; nothing in it is `auto`. It holds no absolute path and no time,
so the same recipe on the same inputs gives the same bytes on any machine.
"""

from __future__ import annotations

from typing import Literal

from ftc.plan.steps.base import Choice, Digest, EnvironmentStep, FileDigest
from ftc.plan.steps.evaluation import (
    BaselineStep,
    EvalStep,
    FunctionStep,
    GateStep,
    HarnessStep,
    JudgeStep,
    SuiteRows,
)
from ftc.plan.steps.model import ModelStep, NewToken, ObjectiveStep, RewardStep, TokenizerStep
from ftc.plan.steps.rows import (
    DataStep,
    DedupeStep,
    LimitStep,
    MixedRows,
    PackingStep,
    Part,
    RenderStep,
    SampleStep,
    SelectionStep,
    Sequences,
    Shard,
    SplitStep,
)
from ftc.plan.steps.sources import ColumnType, QueryStep, SourceStep
from ftc.plan.steps.training import QuantiseStep, TrainStep, TuneStep, UnfrozenStep, WatchStep
from ftc.recipe.base import Frozen

__all__ = [
    "BaselineStep",
    "Choice",
    "ColumnType",
    "DataStep",
    "DedupeStep",
    "Digest",
    "EnvironmentStep",
    "EvalStep",
    "FileDigest",
    "FunctionStep",
    "GateStep",
    "HarnessStep",
    "JudgeStep",
    "LimitStep",
    "MixedRows",
    "ModelStep",
    "NewToken",
    "ObjectiveStep",
    "PackingStep",
    "Part",
    "Plan",
    "QuantiseStep",
    "QueryStep",
    "RenderStep",
    "RewardStep",
    "SampleStep",
    "SelectionStep",
    "Sequences",
    "Shard",
    "SourceStep",
    "SplitStep",
    "SuiteRows",
    "TokenizerStep",
    "TrainStep",
    "TuneStep",
    "UnfrozenStep",
    "WatchStep",
]


class Plan(Frozen):
    """The intermediate representation: passes fill it in, field by field, in one visible order.

    `eval` is the suite of the held-out rows, `suites` are all others.
    """

    format: Literal[1] = 1
    name: str
    seed: int
    sources: tuple[SourceStep, ...] | None = None
    queries: tuple[QueryStep, ...] | None = None
    model: ModelStep | None = None
    tokenizer: TokenizerStep | None = None
    objective: ObjectiveStep | None = None
    render: RenderStep | None = None
    limits: LimitStep | None = None
    selection: SelectionStep | None = None
    split: SplitStep | None = None
    packing: PackingStep | None = None
    data: DataStep | None = None
    tune: TuneStep | None = None
    train: TrainStep | None = None
    eval: EvalStep | None = None
    suites: tuple[EvalStep, ...] = ()
    environment: EnvironmentStep | None = None
    choices: tuple[Choice, ...] = ()

    @property
    def all_suites(self) -> tuple[EvalStep, ...]:
        """Every suite, that of the held-out rows first."""
        return (*((self.eval,) if self.eval is not None else ()), *self.suites)
