"""Compiled rows with what they were compiled from, as those who compile more of them need it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ftc.data.compile import Locations, Request
from ftc.plan.steps import Part, RenderStep


@dataclass(frozen=True)
class Rows:
    """A part of compiled rows, where it is, what it was compiled from and how it was rendered."""

    request: Request
    locations: Locations
    part: Part
    directory: Path
    render: RenderStep
