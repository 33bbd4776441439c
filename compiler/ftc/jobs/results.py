"""What the library's functions answer: values with findings, whether it worked, and what was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ftc.diagnostics import Finding, has_errors
from ftc.recipe.model import Recipe

if TYPE_CHECKING:
    from ftc.artifact.lock_reading import Difference
    from ftc.data.kept.lineage import Lineage
    from ftc.data.kept.lookup import Accounted
    from ftc.data.kept.row_differences import RowDifferences
    from ftc.data.kept.shown import ShownExample
    from ftc.data.packing.lengths import Lengths
    from ftc.estimate.forecast import Forecast, Forecasts
    from ftc.lints.base import Linted
    from ftc.plan.compare import Comparison
    from ftc.plan.sampled import Sampling
    from ftc.plan.steps import Plan

Status = Literal["built", "up to date", "stopped", "failed", "invalid"]
ChainState = Literal["built", "stale", "unfinished", "not built", "not planned"]


@dataclass(frozen=True)
class ChainLink:
    """One recipe of a chain: the run that its plan names, and whether it is there.

    `state` is `built` where the run is whole, `stale` where only runs of other plans are there, `unfinished`
    where a stopped build waits, and `not planned` where its plan is of a sample; `reason` says more.
    """

    path: Path
    name: str
    digest: str | None
    state: ChainState
    reason: str
    run: Path | None
    forecast: Forecast | None


@dataclass(frozen=True)
class CheckResult:
    """What `check` found; `recipe` is None where the text is too wrong to be typed."""

    path: Path
    findings: tuple[Finding, ...]
    recipe: Recipe | None

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return self.recipe is not None and not has_errors(self.findings)


@dataclass(frozen=True)
class PlanResult:
    """The plan and its digest; `data` is the directory of compiled rows, ledger and dropped rows.

    `beside` has what else the runtime reads, by the name of its file: the rows of suites, the user's metrics.
    `sequences` has the file that says which rows train together, where rows are packed or repeated. `lints`
    is what the lints found in the rows; None where they did not come to look. `lengths` says how long the
    training rows are. `chain` has this recipe and those it builds on, in the order of building; it is empty
    where it builds on none.

    With `sampling` the plan is an estimate from a sample, which says how far it is known:
    it has no digest, and `data` and `lengths` are the sample's.
    """

    path: Path
    findings: tuple[Finding, ...]
    plan: Plan | None
    digest: str | None
    data: Path | None
    sequences: Path | None = None
    beside: Mapping[str, Path | bytes] = field(default_factory=dict)
    lints: tuple[Linted, ...] | None = None
    lengths: Lengths | None = None
    forecasts: Forecasts | None = None
    sampling: Sampling | None = None
    chain: tuple[ChainLink, ...] = ()

    @property
    def forecast(self) -> Forecast | None:
        """What the build takes where the plan is for; None where there is no whole plan."""
        return self.forecasts.own if self.forecasts is not None else None

    @property
    def ok(self) -> bool:
        """Whether the plan is whole and has no error."""
        return self.plan is not None and not has_errors(self.findings)


@dataclass(frozen=True)
class BuildResult:
    """How a build ended; `evaluation` has the metrics `before` and `after`.

    `base` is how the build of the recipe ended that this one builds on; `locks` are those it wrote, as the
    recipes had none.
    """

    path: Path
    findings: tuple[Finding, ...]
    plan: Plan | None
    digest: str | None
    status: Status
    run: Path | None
    evaluation: dict[str, Any] | None
    base: BuildResult | None = None
    locks: tuple[Path, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the run directory is whole."""
        return self.status in ("built", "up to date")

    @property
    def gates_failed(self) -> bool:
        """Whether a gate of a whole run does not hold, of this one or of one that it builds on."""
        gates = (self.evaluation or {}).get("gates", ())
        below = self.base is not None and self.base.gates_failed
        return below or (self.ok and any(not gate["passed"] for gate in gates))


@dataclass(frozen=True)
class LockResult:
    """What became of a recipe's lock: `written` names the locks that were written, of its bases too.

    `moved` says what was not as in the lock before, `left` what still is not; `inputs` are their names.
    """

    path: Path
    findings: tuple[Finding, ...]
    lock: Path
    written: tuple[Path, ...] = ()
    moved: tuple[Difference, ...] = ()
    left: tuple[Difference, ...] = ()
    inputs: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the lock is there as it was asked for."""
        return not has_errors(self.findings)


@dataclass(frozen=True)
class ExamplesResult:
    """Compiled rows of a recipe."""

    path: Path
    findings: tuple[Finding, ...]
    examples: tuple[ShownExample, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there are compiled rows."""
        return not has_errors(self.findings)


@dataclass(frozen=True)
class TraceResult:
    """The ways of rows, from their source to their tokens or to the reason why they went."""

    path: Path
    findings: tuple[Finding, ...]
    rows: tuple[Lineage, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every row asked for is there."""
        return not has_errors(self.findings)


@dataclass(frozen=True)
class AccountResult:
    """Rows of the ledger with their fates and reasons; `total` counts those that are not in `rows` too."""

    path: Path
    findings: tuple[Finding, ...]
    rows: tuple[Accounted, ...] = ()
    total: int = 0

    @property
    def ok(self) -> bool:
        """Whether there is a ledger."""
        return not has_errors(self.findings)


@dataclass(frozen=True)
class Side:
    """One of two things that are compared: what its path names, and its plan; None where there is none.

    `forecast` is what the build takes, and `unforecast` why a part of that is not known; `measured` has a
    run's metrics after training.
    """

    path: Path
    kind: Literal["recipe", "plan", "run"] | None
    plan: Plan | None
    forecast: Forecast | None = None
    measured: dict[str, Any] | None = None
    unforecast: str = ""


@dataclass(frozen=True)
class DiffResult:
    """How the new side differs from the old; `comparison` is None where one of them has no plan.

    `rows` says which rows came, went or changed; None where the compiled rows of a side are not at hand.
    """

    old: Side
    new: Side
    findings: tuple[Finding, ...]
    comparison: Comparison | None = None
    rows: RowDifferences | None = None

    @property
    def ok(self) -> bool:
        """Whether they were compared."""
        return self.comparison is not None and not has_errors(self.findings)

    @property
    def same(self) -> bool:
        """Whether both are one plan."""
        return self.comparison is not None and self.comparison.same
