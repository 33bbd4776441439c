"""Two runs on the rows of the suites that both measured: figures in pairs, and the examples that flipped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftc.artifact.run_list import PARTIAL
from ftc.diagnostics import Finding, has_errors
from ftc.evaluation import METRICS, Metric, load
from ftc.evaluation.report import change, figure

RIGHT = 0.5
"""The score from which an example counts as right."""

Line = dict[str, Any]


@dataclass(frozen=True)
class Flip:
    """An example that one run answers right and the other one wrong, by one metric."""

    id: str
    metric: str
    way: str
    prompt: str
    reference: str | None
    old: str
    new: str


@dataclass(frozen=True)
class ComparedSuite:
    """One suite of both runs: its metrics with figures and changes, and the flips; rows that both have."""

    suite: str
    rows: int
    metrics: tuple[dict[str, Any], ...]
    flips: tuple[Flip, ...]


@dataclass(frozen=True)
class CompareResult:
    """What two runs have in common, compared."""

    old: Path
    new: Path
    findings: tuple[Finding, ...]
    suites: tuple[ComparedSuite, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether anything could be compared."""
        return not has_errors(self.findings)


@dataclass(frozen=True)
class _Measured:
    """A suite of a run, or of an evaluation beside it: the metrics, and each row by its id."""

    metrics: tuple[Metric, ...]
    rows: dict[str, Line]


def compare(old: Path, new: Path) -> CompareResult:
    """Compare two runs on the suites and rows that both of them measured, after training."""
    sides = []
    for run in (old, new):
        found = _suites(run)
        if isinstance(found, Finding):
            return CompareResult(old, new, (found,))
        sides.append(found)
    common = [name for name in sides[0] if name in sides[1]]
    compared = [_compared(name, sides[0][name], sides[1][name]) for name in common]
    compared = [one for one in compared if one.rows and one.metrics]
    if not compared:
        return CompareResult(old, new, (_nothing(sides[0], sides[1], new),))
    return CompareResult(old, new, (), tuple(compared))


def _nothing(old: dict[str, _Measured], new: dict[str, _Measured], run: Path) -> Finding:
    names = (", ".join(f"`{name}`" for name in side) or "none" for side in (old, new))
    return Finding(
        "FTC733",
        "the two runs have no suite with a row and a metric in common",
        place=str(run),
        help=("evaluate both on one suite: ftc eval RUN RUN --suite recipe.toml",),
        notes=("suites of the first: {}; of the second: {}".format(*names),),
    )


def _suites(run: Path) -> dict[str, _Measured] | Finding:
    """The suites of a run, with those that were measured later beside it."""
    found: dict[str, _Measured] = {}
    try:
        for directory in (run, *later(run)):
            told = json.loads((directory / "eval.json").read_text("utf-8"))
            found |= {suite["suite"]: _measured(directory, suite) for suite in told["suites"]}
    except (OSError, ValueError, KeyError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its evaluation cannot be read"
        message = f"`{run}` is no run that was measured: {str(reason).lower()}"
        help_ = "name a run directory: runs/NAME/DIGEST"
        return Finding("FTC733", message, place=str(run), help=(help_,))
    return found


def later(run: Path) -> tuple[Path, ...]:
    """The whole evaluations of a run that were made later: they lie beside it, as a run is sealed."""
    beside = run.with_name(f"{run.name}.evals")
    places = sorted(path.parent for path in beside.glob("*/eval.json"))
    return tuple(place for place in places if not place.name.endswith(PARTIAL))


def _measured(directory: Path, suite: dict[str, Any]) -> _Measured:
    lines = (directory / "answers" / f"{suite['suite']}.jsonl").read_text("utf-8").splitlines()
    rows = {line["id"]: line for line in map(json.loads, lines)}
    return _Measured(tuple(metric_of(one) for one in suite["metrics"]), rows)


def metric_of(told: Mapping[str, Any]) -> Metric:
    """The metric that a suite of eval.json names; one of the user's own by what is said of it there."""
    name = told["metric"]
    return load(name) if name in METRICS else Metric(name, told["title"], better=told["better"])


def _compared(name: str, old: _Measured, new: _Measured) -> ComparedSuite:
    ids = [
        id_
        for id_, line in old.rows.items()
        if id_ in new.rows and (line["prompt"], line["reference"]) == _asked(new.rows[id_])
    ]
    names = {metric.name for metric in old.metrics}
    metrics = [metric for metric in new.metrics if metric.name in names]
    first, last = ([side.rows[id_]["after"] for id_ in ids] for side in (old, new))
    figures = [_figures(metric, first, last) for metric in metrics]
    flips = [flip for metric in metrics for flip in _flips(metric, ids, old, new)]
    return ComparedSuite(name, len(ids), tuple(one for one in figures if one), tuple(flips))


def _asked(line: Line) -> tuple[Any, Any]:
    return line["prompt"], line["reference"]


def _figures(metric: Metric, old: Sequence[Line], new: Sequence[Line]) -> dict[str, Any] | None:
    from dataclasses import asdict

    sides = [figure(metric, entries, seed=0) for entries in (old, new)] if old else [None, None]
    if sides[0] is None or sides[1] is None:
        return None
    changed = change(metric, old, new, seed=0)
    return {
        "metric": metric.name,
        "title": metric.title,
        "better": metric.better,
        "old": asdict(sides[0]),
        "new": asdict(sides[1]),
        "change": asdict(changed) if changed else None,
    }


def _flips(metric: Metric, ids: Sequence[str], old: _Measured, new: _Measured) -> list[Flip]:
    """Examples that one run has right and the other wrong; of metrics whose scores go from 0 to 1."""
    if not tells_right(metric):
        return []
    flips = []
    for id_ in ids:
        sides = [side.rows[id_]["after"] for side in (old, new)]
        scores = [side["scores"].get(metric.name) for side in sides]
        if None in scores or (scores[0] >= RIGHT) == (scores[1] >= RIGHT):
            continue
        better = (scores[1] >= RIGHT) == (metric.better == "higher")
        way = "wrong to right" if better else "right to wrong"
        told = [str(said_by(metric, side)) for side in sides]
        line = new.rows[id_]
        flips.append(Flip(id_, metric.name, way, line["prompt"], line["reference"], *told))
    return flips


def tells_right(metric: Metric) -> bool:
    """Whether a score says how right one answer is: it goes from 0 to 1, and the figure is their mean."""
    return metric.combine is None and metric.needs != "loss" and metric.high == 1.0


def said_by(metric: Metric, entry: Mapping[str, Any]) -> str:
    """What the model said, as far as the metric looks at it."""
    key = {"labels": "label", "choices": "choice"}.get(metric.needs, "answer")
    return str(entry.get(key, ""))
