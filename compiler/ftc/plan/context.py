"""What a pass is given and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import JsonValue

from ftc.diagnostics import Finding, has_errors
from ftc.facts.gather import Facts
from ftc.facts.suites import SuiteFacts
from ftc.lints import LintResult
from ftc.plan.steps import (
    BaselineStep,
    Choice,
    DataStep,
    LimitStep,
    Plan,
    QueryStep,
    RenderStep,
    Sequences,
    SuiteRows,
)
from ftc.recipe.load import Origins
from ftc.recipe.model import Recipe


@dataclass(frozen=True)
class Compiled:
    """The data compiler's answer: the step, or the findings that prevented it."""

    step: DataStep | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class SuiteRequest:
    """A suite whose rows are to be compiled: how they are queried, rendered and limited."""

    suite: SuiteFacts
    query: QueryStep
    render: RenderStep
    limits: LimitStep


@dataclass(frozen=True)
class CompiledSuite:
    """The compiled rows of a suite with what they allow, or the findings that prevented them.

    `labels` is a closed set of answers, if they are one; `longest_target` is in tokens; `classes` are those
    that a classifier is to find.
    """

    rows: SuiteRows | None
    labels: tuple[str, ...] = ()
    longest_target: int = 0
    findings: tuple[Finding, ...] = ()
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CompiledBaselines:
    """The compiled rows of baselines; none where a finding says why."""

    steps: tuple[BaselineStep, ...]
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Context:
    """Everything a pass may read; `compile_data` runs the data compiler on the plan so far.

    `lay_out` makes training sequences of the rows it compiled, of at most so many tokens; of one row each
    where that is None. `compile_suite` and `compile_baselines` do the same for a suite's own rows.
    `lint_results` has what the lints found in them. Where it compiles a sample alone and scales the counts,
    the plan is `estimated`. `advises` is whether a finding about memory looks for what would fit.
    """

    recipe: Recipe
    origins: Origins
    facts: Facts
    compile_data: Callable[[Plan], Compiled] = field(repr=False)
    lay_out: Callable[[int | None], Sequences] = field(repr=False)
    compile_suite: Callable[[Plan, SuiteRequest], CompiledSuite] = field(repr=False)
    compile_baselines: Callable[[Plan, SuiteFacts], CompiledBaselines] = field(repr=False)
    lint_results: Callable[[], tuple[LintResult, ...]] = field(default=tuple, repr=False)
    estimated: bool = False
    advises: bool = True


@dataclass(frozen=True)
class Outcome:
    """A pass's result: the plan with its part filled in, and what it found."""

    plan: Plan
    findings: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the next pass may run."""
        return not has_errors(self.findings)


Pass = Callable[[Plan, Context], Outcome]


def choice(key: str, value: JsonValue, reason: str) -> Choice:
    """A value the compiler picked, by the recipe key that would have set it."""
    return Choice(key=key, value=value, reason=reason)


def filled(plan: Plan, choices: tuple[Choice, ...] = (), **steps: object) -> Plan:
    """The plan with some steps filled in and the choices appended."""
    return Plan(**{**dict(plan), **steps, "choices": plan.choices + choices})
