"""Choose the objective from the columns there are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ftc import objectives
from ftc.objectives.base import Objective, Shape


@dataclass(frozen=True)
class Fit:
    """An objective and the shape in which the columns fit it."""

    objective: Objective
    shape: Shape


def fits(columns: Collection[str], name: str | None = None) -> tuple[Fit, ...]:
    """All fits of the columns, best first; only those of one objective if it is named.

    An objective earlier in the table wins over a later one, and within it an earlier shape.
    """
    names = [name] if name else list(objectives.OBJECTIVES)
    candidates = [
        Fit(objective, shape) for objective in map(objectives.load, names) for shape in objective.shapes
    ]
    return tuple(fit for fit in candidates if set(fit.shape.columns) <= set(columns))


def wanted() -> str:
    """The column sets that some objective can train on, in words."""
    sets = [
        f"{' + '.join(f'`{column}`' for column in shape.columns)} ({objective.title})"
        for objective in map(objectives.load, objectives.OBJECTIVES)
        for shape in objective.shapes
    ]
    return ", or ".join(sets)
