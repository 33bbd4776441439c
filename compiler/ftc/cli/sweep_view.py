"""The variants of a sweep as a table, and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftc.cli.forecast_view import forecast_json, span
from ftc.cli.layout import clip, duration, plural, table, wrap
from ftc.cli.terminal import Terminal, escape

if TYPE_CHECKING:
    from ftc.sweeping.results import SweepResult, VariantResult

VALUE = 28
"""Columns that a value of a key may take."""
METRICS = 3
"""Metrics beside the one that decides that have room in the table."""


def sweep_lines(result: SweepResult, terminal: Terminal) -> list[str]:
    """A line a variant, in the order in which they were tried, and the best of them."""
    if not result.variants:
        return []
    keys = list(result.variants[0].values)
    shown = _metrics(result)
    head = (*(_short(key, keys) for key in keys), "state", *shown, "time", "run")
    rows = [_row(one, keys, shown, result) for one in result.variants]
    first = len(keys) + 1
    head_line, *lines = table([head, *rows], right=range(first, first + len(shown) + 1))
    return [terminal.style(head_line, "dim"), *map(escape, lines), *_verdict(result, terminal)]


def _short(key: str, keys: list[str]) -> str:
    """The last part of a key, where no other key ends so."""
    last = key.rpartition(".")[2]
    return last if [other.rpartition(".")[2] for other in keys].count(last) == 1 else key


def _metrics(result: SweepResult) -> list[str]:
    """The metric that decides, and others that were measured."""
    if all(one.status == "planned" for one in result.variants):
        return []
    names = dict.fromkeys(name for one in result.variants for name in one.metrics)
    others = [
        name
        for name in names
        if name != result.metric and "." not in name and not name.endswith(("_rows", "_right", "_tokens"))
    ]
    return [result.metric, *others[:METRICS]]


def _row(one: VariantResult, keys: list[str], shown: list[str], result: SweepResult) -> tuple[str, ...]:
    values = (clip(_value(one.values[key]), VALUE) for key in keys)
    figures = [_figure(one.value if name == result.metric else one.metrics.get(name)) for name in shown]
    state = f"pruned at {one.step}" if one.status == "pruned" else one.status
    best = " *" if one is result.best else ""
    return (*values, f"{state}{best}", *figures, _time(one), (one.digest or "")[:16])


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, (int, float)) else ""


def _time(one: VariantResult) -> str:
    if one.seconds is not None:
        return duration(one.seconds)
    known = one.forecast.duration if one.forecast is not None and one.status == "planned" else None
    return "" if known is None else span(known.total)


def _verdict(result: SweepResult, terminal: Terminal) -> list[str]:
    count = plural(len(result.variants), "variant")
    if result.status == "planned":
        ends = ", at the ends of what the sampler may pick" if result.searched else ""
        return ["", *wrap(f"{count} planned{ends}, none built", terminal.width)]
    best = result.best
    if best is None or best.run is None:
        return []
    chosen = ", ".join(f"{key} = {_value(value)}" for key, value in best.values.items())
    said = f"* best by {result.metric} ({result.better} is better): {chosen}"
    return ["", *wrap(said, terminal.width), f"  {terminal.style(str(best.run), 'accent')}"]


def variant_line(one: VariantResult) -> str:
    """A variant that has been tried, in one line."""
    chosen = ", ".join(f"{key} = {_value(value)}" for key, value in one.values.items())
    figure = "" if one.value is None else f": {_figure(one.value)}"
    return f"{one.status} ({chosen}){figure}"


def sweep_json(result: SweepResult) -> dict[str, Any]:
    """A sweep as JSON; `best` is the number of the best variant, from 0."""
    from ftc.cli.findings import result_json

    best = next((number for number, one in enumerate(result.variants) if one is result.best), None)
    more = {
        "status": result.status,
        "metric": result.metric,
        "better": result.better,
        "best": best,
        "variants": [_variant_json(one) for one in result.variants],
    }
    return {**result_json(result.path, result.findings, more), "ok": result.ok}


def _variant_json(one: VariantResult) -> dict[str, Any]:
    return {
        "values": dict(one.values),
        "digest": one.digest,
        "status": one.status,
        "value": one.value,
        "metrics": dict(one.metrics),
        "seconds": one.seconds,
        "run": None if one.run is None else str(one.run),
        "step": one.step,
        "forecast": None if one.forecast is None else forecast_json(one.forecast),
    }
