"""training.json: how training went, as far as it is the same on every run; no time stands in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ftc.runtime.overfitting import by_ends, overfitting
from ftc.runtime.trainer import Session


def summary(session: Session, measured: Mapping[str, Any]) -> dict[str, Any]:
    """The content of training.json; `measured` has the metrics `before` and `after` of the held-out rows."""
    history = session.history
    last = history.losses[-1][0]
    watch = session.watch.settings if session.watch else None
    best = history.best if watch is not None else None
    before, after = ((measured.get(when) or {}).get("loss") for when in ("before", "after"))
    seen = overfitting(history) if watch is not None else by_ends(history, before, after)
    return {
        "steps": session.plan.train.steps,
        "last_step": last,
        "ended_early": session.ended,
        "kept_step": best[0] if best and watch and watch.keep == "best" else last,
        "best": {"step": best[0], "loss": best[1]} if best else None,
        "held_out": [{"step": step, "loss": loss} for step, loss in history.held_out],
        "overfitting": {**asdict(seen), "message": seen.message} if seen else None,
    }
