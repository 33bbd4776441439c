"""The plan: what every pass has settled, in one tree."""

from __future__ import annotations

from typing import Literal

from ftc.plan.steps.base import Choice, EnvironmentStep
from ftc.plan.steps.evaluation import (
    EvalStep,
)
from ftc.plan.steps.model import ModelStep, ObjectiveStep, TokenizerStep
from ftc.plan.steps.rows import (
    DataStep,
    LimitStep,
    PackingStep,
    RenderStep,
    SelectionStep,
    SplitStep,
)
from ftc.plan.steps.sources import QueryStep, SourceStep
from ftc.plan.steps.training import TrainStep, TuneStep
from ftc.recipe.base import Frozen


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
