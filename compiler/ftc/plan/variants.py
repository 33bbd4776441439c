"""A plan as it would be for another GPU: the same rows, with what depends on the device decided anew."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ftc.diagnostics import Finding
from ftc.plan.context import Compiled, Context
from ftc.plan.pipeline import run_passes
from ftc.plan.steps import Plan, Sequences
from ftc.recipe.model import Recipe

LAST = "evaluation"
"""The pass behind which nothing depends on the device."""


@dataclass
class Variants:
    """Makes variants of a whole plan; its rows are compiled, and are compiled no more.

    Where rows are packed for some devices alone, `context.lay_out` is asked, once for each capacity.
    """

    plan: Plan
    context: Context
    _laid_out: dict[int | None, Sequences] = field(default_factory=dict)

    def on(self, gpu: str) -> tuple[Plan, tuple[Finding, ...]]:
        """The plan for a GPU of the catalogue, as far as it can be made, and what was found on the way."""
        start = Plan(name=self.plan.name, seed=self.plan.seed)
        context = replace(
            self.context,
            recipe=self._recipe(gpu),
            compile_data=self._compiled,
            lay_out=self._lay_out,
            advises=False,
        )
        outcome = run_passes(start, context, after=LAST)
        return outcome.plan, outcome.findings

    def _recipe(self, gpu: str) -> Recipe:
        """The recipe for a GPU; rows are as long as those that were compiled may be."""
        recipe = self.context.recipe
        assert self.plan.limits is not None  # noqa: S101 - the plan is whole
        return recipe.model_copy(
            update={
                "hardware": recipe.hardware.model_copy(update={"gpu": gpu}),
                "train": recipe.train.model_copy(update={"device": "auto"}),
                "data": recipe.data.model_copy(update={"max_length": self.plan.limits.max_length}),
            }
        )

    def _compiled(self, _: Plan) -> Compiled:
        assert self.plan.data is not None  # noqa: S101 - the plan is whole
        return Compiled(self.plan.data.model_copy(update={"sequences": None}), ())

    def _lay_out(self, capacity: int | None) -> Sequences:
        if capacity not in self._laid_out:
            self._laid_out[capacity] = self.context.lay_out(capacity)
        return self._laid_out[capacity]
