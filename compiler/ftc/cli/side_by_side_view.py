"""Several recipes' plans side by side on the screen, one column a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from ftc.cli.diff_json import figures_json
from ftc.cli.diff_view import settings_told
from ftc.cli.figure_view import blocks
from ftc.cli.layout import LABEL
from ftc.cli.plan_view import labelled, value_text
from ftc.cli.terminal import Terminal
from ftc.plan.compare import Change
from ftc.plan.figures import Figure
from ftc.plan.side_by_side import SideBySide, side_by_side

if TYPE_CHECKING:
    from ftc.jobs.results import PlanResult

LONG = 40
"""Characters of a text beyond which its digest stands for it."""
SHORT = 8


def compared(results: Sequence[PlanResult]) -> tuple[list[PlanResult], SideBySide] | None:
    """The results that have a whole plan, and the comparison of those; None where they are fewer than two."""
    whole = [result for result in results if result.ok and result.plan is not None]
    plans = [result.plan for result in whole if result.plan is not None]
    builds = [result.forecast for result in whole]
    return (whole, side_by_side(plans, builds)) if len(plans) > 1 else None


def side_by_side_lines(titles: Sequence[str], found: SideBySide, terminal: Terminal) -> list[str]:
    """A table of the figures, then what else differs; `=` stands for the value of the first recipe."""
    figures = [*found.figures, *_settings(found)]
    lines = [terminal.style("side by side", "strong")]
    for block in blocks(titles, figures, terminal.width - LABEL):
        lines += ["", *(line for label, texts in block for line in labelled(label, texts, terminal))]
    return lines


def _settings(found: SideBySide) -> list[Figure]:
    """The settings that differ and that no figure shows, as rows of the table."""
    shown = {figure.name for figure in found.figures}
    changes = [Change(one.path, one.values[0], list(one.values[1:])) for one in found.settings]
    told = {change.path for change in settings_told(changes)}
    return [
        Figure(f"differs.{one.path}", tuple(_text(value, one.path) for value in one.values))
        for one in found.settings
        if one.path in told and not _is_figure(one.path, shown)
    ]


def _is_figure(path: str, shown: set[str]) -> bool:
    same = {"objective.name": "objective", "model.location": "model", "environment.device": "device"}
    return same.get(path, path.replace("train.arguments.", "train.")) in shown


def _text(value: Any, path: str) -> str | None:
    """A value; of a source or a long text the beginning of its digest, in brackets."""
    if value is None:
        return None
    text = value_text(value)
    if path.startswith("sources."):
        return f"({text[:SHORT]})"
    return f"({sha256(text.encode()).hexdigest()[:SHORT]})" if len(text) > LONG or "\n" in text else text


def side_by_side_json(titles: Sequence[str], found: SideBySide) -> dict[str, Any]:
    """The comparison as JSON."""
    return {
        "recipes": list(titles),
        "figures": figures_json(found.figures),
        "settings": [{"path": one.path, "values": list(one.values)} for one in found.settings],
    }
