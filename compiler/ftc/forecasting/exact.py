"""`ftc plan --exact`: the step run abstractly by the installed packages, whatever the closed form says."""

from __future__ import annotations

from dataclasses import replace

from ftc.estimate.architecture import InexpressibleError
from ftc.estimate.fallback import runs_at_hand
from ftc.estimate.forecast import Exact, Forecasts
from ftc.forecasting.forecaster import Forecaster


def with_exact(found: Forecasts, forecaster: Forecaster) -> Forecasts:
    """The forecasts, with what the abstract run of the plan's own step gives."""
    try:
        peaks = runs_at_hand().peaks(forecaster.own_step())
    except InexpressibleError as error:
        exact = Exact(None, unknown=str(error))
    else:
        exact = Exact(peaks.bytes, peaks.phase, peaks.packages)
    return replace(found, own=replace(found.own, exact=exact))
