"""What there is to say of a whole run's training: overfitting, an early end, weights of another step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftc.diagnostics import Finding, Severity
from ftc.plan.steps import Plan
from ftc.runtime.metrics import TRAINING


def trained(directory: Path) -> dict[str, Any]:
    """The content of a run's training.json; nothing where it has none."""
    file = directory / TRAINING
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found


def findings(about: Mapping[str, Any], plan: Plan, place: Path) -> tuple[Finding, ...]:
    """Findings about how training went; `place` is the run."""
    if not about:
        return ()
    return tuple(
        finding
        for finding in (_overfitting(about, plan, place), _ended(about, place), _kept(about, place))
        if finding
    )


def _overfitting(about: Mapping[str, Any], plan: Plan, place: Path) -> Finding | None:
    seen = about["overfitting"]
    if seen is None:
        return None
    step, last = seen["best_step"], about["last_step"]
    helps = []
    if step and plan.train is not None:
        fewer = plan.train.epochs * step / plan.train.steps
        helps.append(f"train for less: epochs = {fewer:.2g} ends at step {step}")
    if about["kept_step"] == last:
        helps.append('or let ftc pick: keep = "best" under [train] saves the weights of the lowest loss')
    helps.append("or hold it back: a lower learning_rate, a smaller rank, dropout, more rows")
    severity = Severity.WARNING if about["kept_step"] == last else Severity.NOTE
    return Finding("FTC720", seen["message"], place=str(place), help=tuple(helps), severity=severity)


def _ended(about: Mapping[str, Any], place: Path) -> Finding | None:
    best = about["best"]
    if not about["ended_early"] or best is None:
        return None
    message = (
        f"training ended after {about['last_step']} of {about['steps']} steps: "
        f"the held-out loss was lowest at step {best['step']} ({best['loss']:.4g})"
    )
    return Finding("FTC721", message, place=str(place), severity=Severity.NOTE)


def _kept(about: Mapping[str, Any], place: Path) -> Finding | None:
    best = about["best"]
    if best is None or about["kept_step"] == about["last_step"]:
        return None
    message = (
        f"the saved weights are those of step {best['step']}, whose held-out loss {best['loss']:.4g} "
        f"is the lowest of {len(about['held_out'])}"
    )
    return Finding("FTC722", message, place=str(place), severity=Severity.NOTE)
