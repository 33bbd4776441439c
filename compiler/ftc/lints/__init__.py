"""The lints of the data: one file each, one line each in this table, loaded by name on first use.

A lint of single rows has a function `looker(spec)`, whose result looks at rows in the workers, at those alone
that have one of its `hints(spec)` where it states any; one of all rows has a function `judge(evidence)`,
which runs at the end. Each has `describe(result)`, which puts its result in words.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from ftc.lints.base import Level, Lint, LintResult, Said

__all__ = ["LINTS", "Level", "Lint", "LintResult", "describe", "module"]

SPLIT, QUERY, SOURCES = ("data", "split"), ("data", "query"), ("data", "sources")

LINTS: dict[str, Lint] = {
    "leakage": Lint("FTC608", "warn", SPLIT),
    "near_leakage": Lint("FTC801", "warn", SPLIT),
    "contradictory_answers": Lint("FTC802", "warn", QUERY),
    "duplicates": Lint("FTC803", "warn", QUERY),
    "label_imbalance": Lint("FTC804", "warn", QUERY),
    "cut_answers": Lint("FTC805", "warn", QUERY),
    "empty_answers": Lint("FTC806", "warn", QUERY),
    "control_tokens": Lint("FTC807", "warn", QUERY),
    "encoding_damage": Lint("FTC808", "warn", SOURCES),
    "language_mix": Lint("FTC809", "warn", QUERY),
    "length_outliers": Lint("FTC810", "warn", QUERY),
    "secrets": Lint("FTC811", "warn", SOURCES),
    "personal_data": Lint("FTC812", "warn", SOURCES),
    "small_eval": Lint("FTC813", "warn", (*SPLIT, "eval")),
}


def module(name: str) -> ModuleType:
    """The file of a lint, a key of `LINTS`."""
    return import_module(f"ftc.lints.{name}")


def describe(result: LintResult) -> Said:
    """A result in words."""
    said: Said = module(result.lint).describe(result)
    return said
