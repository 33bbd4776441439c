"""What a page is made of: a plan, its rows, and what a run has measured, where there is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ftc.artifact.chain import ChainedRun
from ftc.data.kept.shown import Viewer
from ftc.diagnostics import Finding
from ftc.estimate.forecast import Forecasts
from ftc.lints.base import Linted
from ftc.plan.steps import Plan


@dataclass(frozen=True)
class Run:
    """What a run's files say of its training: `measured` is eval.json, `about` training.json.

    `later` are the directories beside the run with what was measured since, each with its eval.json.
    """

    directory: Path
    measured: Mapping[str, Any]
    about: Mapping[str, Any]
    later: tuple[tuple[Path, Mapping[str, Any]], ...] = ()


@dataclass(frozen=True)
class Material:
    """A plan with all that its page shows; `run` is None where nothing was trained.

    `directory` has the compiled rows and `viewer` shows them; where they are not at hand, `unseen` says why.
    `unforecast` says why there is no forecast. `findings` are what the compiler had to say.
    """

    kind: Literal["plan", "run"]
    plan: Plan
    digest: str
    recipe_name: str
    recipe_text: str
    directory: Path | None
    viewer: Viewer | None
    unseen: str = ""
    lints: tuple[Linted, ...] | None = None
    forecasts: Forecasts | None = None
    unforecast: str = ""
    findings: tuple[Finding, ...] = ()
    chain: tuple[ChainedRun, ...] = ()
    run: Run | None = None
