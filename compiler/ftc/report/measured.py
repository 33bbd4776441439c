"""What eval.json says on the page: each metric before and after with intervals, and what the change shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ftc.cli.evaluation_view import change_text, figure_text, name_of, title_of
from ftc.cli.layout import number
from ftc.report.svg import Scale, drawing, element, line, short, text

SURE = 0.05
"""A change whose p-value is below this, and whose interval leaves out 0, is called one."""
WIDTH, TALL = 300.0, 62.0
BASELINES = {"few_shot": "base, with examples", "retrieval": "base, with retrieved examples"}

Told = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class MetricRow:
    """A metric of a suite in words; `verdict` is `better`, `worse`, `unclear` or `none`, `said` says it."""

    name: str
    title: str
    better: str
    before: str
    after: str
    change: str
    verdict: str
    said: str
    picture: Markup


@dataclass(frozen=True, slots=True)
class BaselineRow:
    """The base model under another way of asking: its figures in the order of the suite's metrics."""

    name: str
    figures: tuple[str, ...]
    tokens: str


@dataclass(frozen=True, slots=True)
class GateRow:
    """A condition on a metric, and whether it holds."""

    said: str
    passed: bool


@dataclass(frozen=True, slots=True)
class SuitePage:
    """One suite on the page."""

    name: str
    title: str
    metrics: tuple[MetricRow, ...]
    gates: tuple[GateRow, ...]
    baselines: tuple[BaselineRow, ...]


def suite_pages(measured: Told, *, later: bool = False) -> tuple[SuitePage, ...]:
    """Every suite that was measured; `later` says that it was after the run was whole."""
    return tuple(_suite(suite, ", measured later" if later else "") for suite in measured.get("suites", ()))


def _suite(suite: Told, when: str) -> SuitePage:
    return SuitePage(
        name=suite["suite"],
        title=title_of(suite["suite"], suite["rows"]) + when,
        metrics=tuple(map(_metric, suite["metrics"])),
        gates=tuple(
            GateRow(f"{name_of(gate['metric'])} {gate['gate']}{_bound(gate)}", bool(gate["passed"]))
            for gate in suite.get("gates", ())
        ),
        baselines=tuple(_baselines(suite)),
    )


def _bound(gate: Told) -> str:
    return f" = {short(gate['bound'])}" if gate["bound"] is not None and "base" in gate["gate"] else ""


def _metric(one: Told) -> MetricRow:
    verdict, said = _verdict(one)
    return MetricRow(
        name=name_of(one["metric"]),
        title=one["title"],
        better=f"{one['better']} is better",
        before=figure_text(one["before"]),
        after=figure_text(one["after"]),
        change=change_text(one["change"]),
        verdict=verdict,
        said=said,
        picture=_picture(one),
    )


def _verdict(one: Told) -> tuple[str, str]:
    """What the change shows: its interval must leave out 0, and its p-value be small."""
    change = one["change"]
    if change is None or change["difference"] is None:
        return "none", "not compared"
    low, high, p_value = change["low"], change["high"], change["p_value"]
    known = None not in (low, high, p_value) and p_value < SURE and (low > 0 or high < 0)
    if not known:
        return "unclear", "no clear change"
    rising = change["difference"] > 0
    return ("better", "better") if rising == (one["better"] == "higher") else ("worse", "worse")


def _finite(figure: Told | None) -> bool:
    return figure is not None and all(figure[key] is not None for key in ("low", "value", "high"))


def _picture(one: Told) -> Markup:
    """Both intervals above a common scale; nothing where there is no figure."""
    there = [(when, one[when]) for when in ("before", "after") if _finite(one[when])]
    if not there:
        return Markup()
    low = min(figure["low"] for _, figure in there)
    high = max(figure["high"] for _, figure in there)
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    room = 0.0 if (low, high) == (0.0, 1.0) else (high - low) * 0.1 or abs(high) * 0.1 or 1.0
    scale = Scale(low - room, high + room, 64, WIDTH - 14)
    parts = [line(scale.start, TALL - 18, scale.end, TALL - 18, "axis")]
    for value, anchor in ((scale.low, "start"), (scale.high, "end")):
        parts.append(text(scale(value), TALL - 4, short(round(value, 4)), "tick", anchor))
    for place, (when, figure) in enumerate(there):
        parts += list(_interval(when, figure, 12.0 + 20 * place, scale))
    said = "; ".join(f"{when}: {figure_text(figure)}" for when, figure in there)
    drawn = drawing(WIDTH, TALL, f"{one['title']}: {said}", *parts)
    return Markup(str(drawn).replace('class="narrow"', 'class="interval"', 1))  # noqa: S704 - a drawing


def _interval(when: str, figure: Told, y: float, scale: Scale) -> Iterator[Markup]:
    low, value, high = (scale(figure[key]) for key in ("low", "value", "high"))
    yield text(0, y + 4, when, "said")
    yield line(low, y, high, y, f"whisker {when}")
    yield element("circle", cx=value, cy=y, r=4.2, class_=f"estimate {when}")


def _baselines(suite: Told) -> Iterator[BaselineRow]:
    """How the base did under other ways of asking, between the base as it is and the tuned model."""
    found = suite.get("baselines") or ()
    if not found:
        return
    names = [one["metric"] for one in suite["metrics"]]
    told = suite.get("tokens", {})
    yield _asked("base, plain prompt", suite["metrics"], "before", names, told.get("before"))
    for one in found:
        yield _asked(BASELINES[one["baseline"]], one["metrics"], "value", names, one["tokens"])
    yield _asked("tuned", suite["metrics"], "after", names, told.get("after"))


def _asked(name: str, metrics: Any, key: str, names: list[str], tokens: Told | None) -> BaselineRow:
    found = {one["metric"]: one[key] for one in metrics}
    words = f"{number(round(tokens['prompt_tokens']))} + {tokens['answer_tokens']:.1f}" if tokens else ""
    return BaselineRow(name, tuple(figure_text(found.get(metric)) for metric in names), words)
