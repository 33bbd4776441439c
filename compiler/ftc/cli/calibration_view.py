"""A calibration and a duration as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftc.cli.layout import duration as shown
from ftc.cli.layout import number, pad

if TYPE_CHECKING:
    from ftc.cli.terminal import Terminal
    from ftc.estimate.calibration import Calibration
    from ftc.estimate.duration import Duration
    from ftc.estimate.range import Range
    from ftc.jobs.calibrating import CalibrateResult

TITLES = {
    "training": "training",
    "losses": "reading for losses",
    "answers": "writing answers",
    "labels": "trying labels",
}


def range_text(value: Range) -> str:
    """A range of seconds: the likely value, and between which it lies."""
    return f"{shown(value.likely)} ({shown(value.low)} to {shown(value.high)})"


def calibration_lines(result: CalibrateResult, terminal: Terminal) -> list[str]:
    """What was measured, and what it says of the recipe that it was measured with."""
    found = result.calibration
    assert found is not None  # noqa: S101 - shown where something was measured
    machine = found.machine
    with_what = f"with {machine.threads} threads and PyTorch {machine.torch}, on {found.date}"
    lines = [f"Measured {terminal.style(machine.name, 'strong')} {with_what}:"]
    lines += [f"  {line}" for line in _speeds(found)]
    if result.duration is not None:
        lines += [
            "",
            f"A build of {result.path} takes {range_text(result.duration.total)} here, compiled data apart:",
        ]
        lines += [f"  {pad(name, 20)}{range_text(part)}" for name, part in result.duration.parts.items()]
    return [*lines, "", "`ftc plan` predicts times by this from now on."]


def _speeds(found: Calibration) -> list[str]:
    """How many tokens a second go through the model, by kind of work."""
    lines = []
    for kind, title in TITLES.items():
        some = [sample for sample in found.samples if sample.kind == kind and not sample.first]
        if some:
            tokens, seconds = sum(s.tokens for s in some), sum(s.seconds for s in some)
            rate = sum(s.flops for s in some) / seconds
            speed = f"{number(round(tokens / seconds))} tokens/s"
            lines.append(f"{pad(title, 20)}{pad(speed, 16, right=True)}, {rate / 1e9:.3g} GFLOP/s")
    return lines


def duration_json(found: Duration) -> dict[str, Any]:
    """A duration in seconds, in all and by part."""
    return {
        "total": _range(found.total),
        "parts": {name: _range(part) for name, part in found.parts.items()},
        "basis": found.basis,
        "measured": found.measured,
    }


def _range(value: Range) -> dict[str, float]:
    return {"low": value.low, "likely": value.likely, "high": value.high}
