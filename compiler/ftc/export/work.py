"""What an export is made of, and what it says of itself: its choices and its checks, with their figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.diagnostics import Finding, Severity

if TYPE_CHECKING:
    from ftc.jobs.opening import OpenRun

DTYPES = ("float32", "bfloat16", "float16")
QUANTISED = ("f32", "f16", "bf16", "q8_0")
"""What tensors of a GGUF file are stored as."""


@dataclass(frozen=True)
class Options:
    """What was asked for; None where the target picks, and says so."""

    to: str
    dtype: str | None = None
    quantise: str | None = None
    repo: str | None = None
    push: bool = False
    private: bool = False

    def stated(self) -> dict[str, Any]:
        """What decides the files, as export.json has it."""
        return {"to": self.to, "dtype": self.dtype, "quantise": self.quantise, "repo": self.repo}


@dataclass(frozen=True)
class Choice:
    """A value that the export picked, with its reason."""

    name: str
    value: str
    reason: str


@dataclass(frozen=True)
class Check:
    """One thing that was compared: `said` in words with its figures, which `figures` has as numbers."""

    name: str
    passed: bool
    said: str
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Made:
    """What a target has put into its directory; `differences` are known ones that are not mistakes."""

    checks: tuple[Check, ...]
    choices: tuple[Choice, ...] = ()
    differences: tuple[Finding, ...] = ()
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Work:
    """One export under way: what to put where. `say` is told what is done."""

    run: OpenRun
    options: Options
    directory: Path
    say: Callable[[str], None] = lambda _: None


Target = Callable[[Work], Made | Finding]


def impossible(work: Work, why: str, *helps: str, code: str = "FTC774") -> Finding:
    """The finding for a run that has no such form."""
    message = f"`{work.run.plan.name}` cannot be exported to {work.options.to}: {why}"
    return Finding(code, message, place=str(work.run.directory), help=helps)


def difference(message: str, *helps: str) -> Finding:
    """A way in which an export differs from the run, and which its user should know of."""
    return Finding("FTC780", message, help=helps, severity=Severity.WARNING)


def unwritten(work: Work) -> Finding | None:
    """Why a target for models that write is refused; None where the run's model writes."""
    from ftc.jobs.opening import INSTEAD, WRITES

    head = work.run.ready.objective.head
    if head == WRITES:
        return None
    why = f"it was trained for {work.run.ready.objective.name}, and its model writes no text"
    return impossible(work, why, INSTEAD[head], "export it --to merged, adapter or hub")
