"""ftc: a declarative dataset-to-model compiler for fine-tuning language models.

import ftc

ftc.check("recipe.toml").ok
ftc.plan("recipe.toml").plan
ftc.build("recipe.toml").run
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ftc.api import (
        AccountResult,
        BuildResult,
        CheckResult,
        DiffResult,
        ExamplesResult,
        LockResult,
        PlanResult,
        TraceResult,
        account,
        build,
        check,
        diff,
        examples,
        lock,
        plan,
        trace,
    )

__version__ = "0.1.0"

__all__ = [
    "AccountResult",
    "BuildResult",
    "CheckResult",
    "DiffResult",
    "ExamplesResult",
    "LockResult",
    "PlanResult",
    "TraceResult",
    "__version__",
    "account",
    "build",
    "check",
    "diff",
    "examples",
    "lock",
    "plan",
    "trace",
]


class _Library(ModuleType):
    """The package's own type: in it `plan` is the function, and `from ftc.plan.steps import …` the package.

    Importing a part of ftc loads that part alone: the functions are loaded on first use.
    """

    def __getattr__(self, name: str) -> Any:
        if name in __all__:
            return getattr(import_module("ftc.api"), name)
        raise AttributeError(f"module 'ftc' has no attribute {name!r}")

    @property
    def plan(self) -> Any:
        return import_module("ftc.api").plan

    @plan.setter
    def plan(self, package: ModuleType) -> None:
        """The import system binds the package here; the function keeps the name."""


sys.modules[__name__].__class__ = _Library
