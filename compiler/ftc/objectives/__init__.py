"""The objectives: one file each, one line each in this table, loaded by name on first use."""

from __future__ import annotations

from importlib import import_module

from ftc.objectives.base import Objective

OBJECTIVES: dict[str, str] = {
    "sft": "ftc.objectives.sft",
    "cpt": "ftc.objectives.cpt",
}


def load(name: str) -> Objective:
    """The objective called `name`, a key of `OBJECTIVES`."""
    objective: Objective = import_module(OBJECTIVES[name]).OBJECTIVE
    return objective
