"""The plan's nodes: frozen, fully resolved steps which serialise to canonical JSON.

A plan is what the runtime executes; nothing in it is `auto`. It holds no absolute path and no time,
so the same recipe on the same inputs gives the same bytes on any machine. A step is loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ftc.plan.steps.base import Choice, Digest, EnvironmentStep, FileDigest
    from ftc.plan.steps.evaluation import (
        BaselineStep,
        EvalStep,
        FunctionStep,
        GateStep,
        HarnessStep,
        JudgeStep,
        SuiteRows,
    )
    from ftc.plan.steps.model import ModelStep, NewToken, ObjectiveStep, RewardStep, TokenizerStep
    from ftc.plan.steps.plan import Plan
    from ftc.plan.steps.rows import (
        DataStep,
        DedupeStep,
        LimitStep,
        MixedRows,
        PackingStep,
        Part,
        RenderStep,
        SampleStep,
        SelectionStep,
        Sequences,
        Shard,
        SplitStep,
    )
    from ftc.plan.steps.sources import ColumnType, QueryStep, SourceStep
    from ftc.plan.steps.training import QuantiseStep, TrainStep, TuneStep, UnfrozenStep, WatchStep

__all__ = [
    "BaselineStep",
    "Choice",
    "ColumnType",
    "DataStep",
    "DedupeStep",
    "Digest",
    "EnvironmentStep",
    "EvalStep",
    "FileDigest",
    "FunctionStep",
    "GateStep",
    "HarnessStep",
    "JudgeStep",
    "LimitStep",
    "MixedRows",
    "ModelStep",
    "NewToken",
    "ObjectiveStep",
    "PackingStep",
    "Part",
    "Plan",
    "QuantiseStep",
    "QueryStep",
    "RenderStep",
    "RewardStep",
    "SampleStep",
    "SelectionStep",
    "Sequences",
    "Shard",
    "SourceStep",
    "SplitStep",
    "SuiteRows",
    "TokenizerStep",
    "TrainStep",
    "TuneStep",
    "UnfrozenStep",
    "WatchStep",
]

_MODULES = {
    "base": (
        "Choice",
        "Digest",
        "EnvironmentStep",
        "FileDigest",
    ),
    "evaluation": (
        "BaselineStep",
        "EvalStep",
        "FunctionStep",
        "GateStep",
        "HarnessStep",
        "JudgeStep",
        "SuiteRows",
    ),
    "model": (
        "ModelStep",
        "NewToken",
        "ObjectiveStep",
        "RewardStep",
        "TokenizerStep",
    ),
    "plan": ("Plan",),
    "rows": (
        "DataStep",
        "DedupeStep",
        "LimitStep",
        "MixedRows",
        "PackingStep",
        "Part",
        "RenderStep",
        "SampleStep",
        "SelectionStep",
        "Sequences",
        "Shard",
        "SplitStep",
    ),
    "sources": (
        "ColumnType",
        "QueryStep",
        "SourceStep",
    ),
    "training": (
        "QuantiseStep",
        "TrainStep",
        "TuneStep",
        "UnfrozenStep",
        "WatchStep",
    ),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return found
