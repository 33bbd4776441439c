"""Rows that were looked at instead of all: how many of how many, kept beside what was compiled of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ftc.data.problems import RowProblem
from ftc.data.selection.looked_at import Stratum
from ftc.plan.account import Fate

SAMPLE = "sample.json"


@dataclass(frozen=True, slots=True)
class Worked:
    """What became of rows in the work on them: a fate, its reason, and how many examples more they became."""

    fate: Fate
    reason: str
    rows: int
    more: int


@dataclass(frozen=True, slots=True)
class Sample:
    """The strata of the rows that were looked at, and what became of those rows that were not simply kept."""

    strata: tuple[Stratum, ...]
    worked: tuple[Worked, ...]

    @property
    def rows(self) -> int:
        """All rows that would be compiled."""
        return sum(stratum.rows for stratum in self.strata)

    @property
    def looked_at(self) -> int:
        """Those that were."""
        return sum(stratum.looked_at for stratum in self.strata)


def write_sample(directory: Path, strata: Iterable[Stratum], worked: Iterable[Worked]) -> None:
    """Keep what a sample is of. Raises OSError."""
    value = {"strata": [asdict(one) for one in strata], "worked": [asdict(one) for one in worked]}
    (directory / SAMPLE).write_text(json.dumps(value), encoding="utf-8")


def read_sample(directory: Path) -> Sample | None:
    """What the rows of an entry are a sample of; None where they are all there are. Raises OSError."""
    path = directory / SAMPLE
    if not path.is_file():
        return None
    value = json.loads(path.read_text(encoding="utf-8"))
    strata = tuple(Stratum(**one) for one in value["strata"])
    return Sample(strata, tuple(Worked(**one) for one in value["worked"]))


def too_small(problem: RowProblem, strata: Sequence[Stratum]) -> RowProblem:
    """The problem that a side is empty, where it may only be so among the rows that were looked at."""
    looked_at, rows = (sum(getattr(one, name) for one in strata) for name in ("looked_at", "rows"))
    side = "left to train on" if problem.code == "FTC601" else "held out"
    return replace(
        problem,
        code="FTC882",
        message=f"of the {looked_at:,} rows that were looked at, of {rows:,}, none is {side}",
        help=("look at more of them, as in --sample 2000; or leave --sample out",),
    )
