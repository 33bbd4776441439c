"""Rows of suites as the model answered them: those whose score changed, and some others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from heapq import nsmallest
from pathlib import Path
from typing import Any

from ftc.cli.evaluation_view import name_of, title_of
from ftc.cli.layout import clip, plural
from ftc.evaluation import Metric
from ftc.jobs.comparing import RIGHT, metric_of, said_by, tells_right
from ftc.report.text import WIDEST_ID, clipped

EACH = 6
"""Rows that are shown of each metric and way."""
OTHERS = 4
MOST = 1200
"""Characters of a prompt, a reference or an answer that are shown."""

Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Text:
    """A text, and what of it is not shown."""

    text: str
    cut: str


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """A row of a suite: what was asked, what is right, what was answered before and after."""

    id: str
    prompt: Text
    reference: Text | None
    before: Text
    after: Text
    scores: str


@dataclass(frozen=True, slots=True)
class Changed:
    """Rows whose score by a metric changed in one way: how many, and some of them."""

    suite: str
    metric: str
    way: str
    good: bool
    rows: int
    shown: tuple[AnswerRow, ...]

    @property
    def said(self) -> str:
        """How many of how many are shown."""
        if len(self.shown) == self.rows:
            return plural(self.rows, "row")
        return f"{len(self.shown)} of {plural(self.rows, 'row')}"


@dataclass(frozen=True, slots=True)
class SuiteAnswers:
    """The answers of one suite: what changed by each metric, and some rows beside."""

    title: str
    changed: tuple[Changed, ...]
    others: tuple[AnswerRow, ...]
    counted: str


def suite_answers(directory: Path, measured: Mapping[str, Any]) -> tuple[SuiteAnswers, ...]:
    """The answers of each suite of a run that kept some. Raises OSError and ValueError."""
    found = []
    for suite in measured.get("suites", ()):
        path = directory / "answers" / f"{suite['suite']}.jsonl"
        if path.is_file():
            found.append(_suite(suite, path))
    return tuple(found)


def _suite(suite: Line, path: Path) -> SuiteAnswers:
    lines = [json.loads(told) for told in path.read_text(encoding="utf-8").splitlines()]
    lines = [told for told in lines if "before" in told and "after" in told]
    metrics = [metric_of(one) for one in suite["metrics"]]
    changed = tuple(part for metric in metrics for part in _changed(suite["suite"], metric, lines))
    seen = {row.id for part in changed for row in part.shown}
    rest = [told for told in lines if clip(told["id"], WIDEST_ID) not in seen]
    spoken = next((metric for metric in metrics if _answered(metric)), metrics[0] if metrics else None)
    others = tuple(_row(told, spoken) for told in nsmallest(OTHERS, rest, key=_hash)) if spoken else ()
    return SuiteAnswers(title_of(suite["suite"], len(lines)), changed, others, plural(len(lines), "row"))


def _hash(told: Line) -> tuple[bytes, str]:
    return sha256(told["id"].encode()).digest(), told["id"]


def _answered(metric: Metric) -> bool:
    return metric.needs in ("answers", "labels", "choices", "judge")


def _changed(suite: str, metric: Metric, lines: Sequence[Line]) -> Iterator[Changed]:
    """Rows by the way that their score went: over the line between right and wrong, or most of all."""
    both = [(told, *_scores(metric, told)) for told in lines]
    known = [(told, float(old), float(new)) for told, old, new in both if old is not None and new is not None]
    if metric.combine is not None:
        return
    if tells_right(metric):
        crossed = [(told, old, new) for told, old, new in known if (old >= RIGHT) != (new >= RIGHT)]
        ways = (("wrong to right", "right to wrong"), crossed)
    else:
        moved = [(told, old, new) for told, old, new in known if old != new]
        ways = (("better", "worse"), moved)
    words, rows = ways
    for good in (False, True):
        those = [one for one in rows if ((one[2] > one[1]) == (metric.better == "higher")) == good]
        if those:
            shown = tuple(_row(told, metric) for told, _, _ in _some(those, metric))
            yield Changed(suite, name_of(metric.name), words[not good], good, len(those), shown)


def _some(rows: Sequence[tuple[Line, float, float]], metric: Metric) -> list[tuple[Line, float, float]]:
    """Some rows: of right and wrong those of the smallest hashes, of other scores those that moved most."""
    if tells_right(metric):
        return nsmallest(EACH, rows, key=lambda one: _hash(one[0]))
    return nsmallest(EACH // 2, rows, key=lambda one: (-abs(one[2] - one[1]), _hash(one[0])))


def _scores(metric: Metric, told: Line) -> tuple[Any, Any]:
    return tuple(told[when]["scores"].get(metric.name) for when in ("before", "after"))


def _row(told: Line, metric: Metric) -> AnswerRow:
    old, new = _scores(metric, told)
    scores = f"{name_of(metric.name)} {_score(old)} → {_score(new)}"
    return AnswerRow(
        id=clip(told["id"], WIDEST_ID),
        prompt=_clipped(told["prompt"] or ""),
        reference=None if told["reference"] is None else _clipped(told["reference"]),
        before=_clipped(_answer(metric, told["before"])),
        after=_clipped(_answer(metric, told["after"])),
        scores=scores,
    )


def _answer(metric: Metric, entry: Line) -> str:
    """What the model said, or the figures that stand for it where it was not asked to say anything."""
    text = said_by(metric, entry) or str(entry.get("answer", ""))
    if text or "answer" in entry:
        return text
    columns = entry.get("columns", {})
    told = (f"{name}: {_figure(value)}" for name, value in columns.items())
    loss = [f"loss: {entry['loss']:.4g}"] if isinstance(entry.get("loss"), float) else []
    return "\n".join([*told, *loss])


def _figure(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(str, value[:8])) if isinstance(value, list) else str(value)


def _score(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.4g}"


def _clipped(text: str) -> Text:
    body, left = clipped(text, MOST)
    return Text(body, f"{plural(left, 'more character')} not shown" if left else "")
