"""Choose the objective from the columns there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ftc import objectives
from ftc.objectives.base import Objective, Shape


@dataclass(frozen=True)
class Fit:
    """An objective and the shape in which the columns fit it."""

    objective: Objective
    shape: Shape


def fits(columns: Mapping[str, str], name: str | None = None) -> tuple[Fit, ...]:
    """All fits of the columns, names with their types, best first; only those of one objective if named.

    An objective earlier in the table wins over a later one, and within it an earlier shape. Not named, an
    objective must be implied by its columns and their types.
    """
    names = [name] if name else list(objectives.OBJECTIVES)
    candidates = [
        Fit(objective, shape) for objective in map(objectives.load, names) for shape in objective.shapes
    ]
    there = [fit for fit in candidates if set(fit.shape.columns) <= set(columns)]
    return tuple(there) if name else tuple(fit for fit in there if _implied(fit, columns))


def _implied(fit: Fit, columns: Mapping[str, str]) -> bool:
    wanted = fit.shape.types.items()
    return fit.objective.implied and all(columns[column] in types for column, types in wanted)


def wanted(name: str | None = None) -> str:
    """The column sets that some objective can train on, or one that is named, in words."""
    names = [name] if name else list(objectives.OBJECTIVES)
    sets = [
        f"{' + '.join(f'`{column}`' for column in shape.columns)} ({objective.title})"
        for objective in map(objectives.load, names)
        for shape in objective.shapes
        if name or objective.implied
    ]
    return ", or ".join(sets)
