"""What a sweep answers: each variant with what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from ftc.diagnostics import Finding, has_errors

if TYPE_CHECKING:
    from ftc.estimate.forecast import Forecast

VariantStatus = Literal["planned", "built", "up to date", "pruned", "failed", "stopped", "invalid"]
WHOLE = ("built", "up to date")


@dataclass(frozen=True)
class VariantResult:
    """One variant: the values it gives, the run of its plan, and what was measured after training.

    `value` is that of the metric they are compared by. A `pruned` one was broken off after `step`, and waits.
    `seconds` is what its training took, whenever that was.
    """

    values: Mapping[str, Any]
    digest: str | None
    status: VariantStatus
    value: float | None = None
    metrics: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    seconds: float | None = None
    run: Path | None = None
    step: int | None = None
    forecast: Forecast | None = None


@dataclass(frozen=True)
class SweepResult:
    """The variants in the order in which they were tried; `status` is how the sweep as a whole ended.

    `searched` says that a sampler picks variants by the results of others, so that what is `planned` are
    those at the ends of what it can pick.
    """

    path: Path
    findings: tuple[Finding, ...]
    status: Literal["planned", "built", "stopped", "failed", "invalid"]
    metric: str = ""
    better: Literal["higher", "lower"] = "lower"
    variants: tuple[VariantResult, ...] = ()
    searched: bool = False

    @property
    def ok(self) -> bool:
        """Whether every variant was planned, or tried and not one failed."""
        return self.status in ("planned", "built") and not has_errors(self.findings)

    @property
    def best(self) -> VariantResult | None:
        """The whole variant whose metric is best; the first of equal ones."""
        whole = [one for one in self.variants if one.status in WHOLE and one.value is not None]
        sign = 1 if self.better == "higher" else -1
        return max(whole, key=lambda one: sign * (one.value or 0.0), default=None)
