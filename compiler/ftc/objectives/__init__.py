"""The objectives: one file each, one line each in this table, loaded by name on first use."""

from __future__ import annotations

from importlib import import_module

from ftc.objectives.base import Objective, Options

OBJECTIVES: dict[str, str] = {
    "kto": "ftc.objectives.kto",
    "sft": "ftc.objectives.sft",
    "cpt": "ftc.objectives.cpt",
    "dpo": "ftc.objectives.dpo",
    "orpo": "ftc.objectives.orpo",
    "cpo": "ftc.objectives.cpo",
    "simpo": "ftc.objectives.simpo",
    "reward": "ftc.objectives.reward",
    "classification": "ftc.objectives.classification",
    "embedding": "ftc.objectives.embedding",
    "gkd": "ftc.objectives.gkd",
    "grpo": "ftc.objectives.grpo",
    "rloo": "ftc.objectives.rloo",
}
"""In the order in which columns are tried: what needs more of them stands first."""


def load(name: str) -> Objective:
    """The objective called `name`, a key of `OBJECTIVES`."""
    objective: Objective = import_module(OBJECTIVES[name]).OBJECTIVE
    return objective


def options(name: str, stated: str | Options | None) -> Options:
    """The options of an objective: those the recipe states, or the defaults."""
    if isinstance(stated, Options):
        return stated
    return load(name).options(name=name)


__all__ = ["OBJECTIVES", "Objective", "Options", "load", "options"]
