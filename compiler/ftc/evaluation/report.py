"""Figures of a suite from its rows' entries: with intervals, compared in pairs, and held to gates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite, nan
from typing import Any

from ftc.evaluation.base import Metric
from ftc.evaluation.gates import Condition
from ftc.evaluation.statistics import Interval, Paired, bootstrap, bootstrap_parts, paired, paired_parts

Entry = Mapping[str, Any]
Entries = Sequence[Entry]


@dataclass(frozen=True)
class Gate:
    """A condition with the metric that it is about and the text in which the recipe states it."""

    metric: str
    condition: Condition
    text: str


def _parts(metric: Metric, entries: Entries) -> list[tuple[float, ...]]:
    return [tuple(entry["parts"][metric.name]) for entry in entries if metric.name in entry["parts"]]


def _scores(metric: Metric, entries: Entries) -> list[float | None]:
    return [entry["scores"].get(metric.name) for entry in entries]


def figure(metric: Metric, entries: Entries, seed: int) -> Interval | None:
    """A metric over all rows, with its 95 % bootstrap interval; None where no row could be scored.

    A figure of a whole harness task has no interval, as its rows have no share in it.
    """
    if metric.combine is not None:
        parts = _parts(metric, entries)
        if parts and metric.needs == "harness":
            return Interval(nan, metric.combine(parts[0]), nan, 1)
        return bootstrap_parts(parts, metric.combine, seed) if parts else None
    scores = _scores(metric, entries)
    return bootstrap(scores, seed) if any(score is not None for score in scores) else None


def change(metric: Metric, before: Entries, after: Entries, seed: int) -> Paired | None:
    """The difference between two models on the same rows, with its interval and a p-value."""
    both = [(b, a) for b, a in zip(before, after, strict=True) if _has(metric, b) and _has(metric, a)]
    if not both or (metric.combine is not None and metric.needs == "harness"):
        return None
    first, last = [b for b, _ in both], [a for _, a in both]
    if metric.combine is not None:
        return paired_parts(_parts(metric, first), _parts(metric, last), metric.combine, seed)
    return paired(_scores(metric, first), _scores(metric, last), seed)


def _has(metric: Metric, entry: Entry) -> bool:
    kept = entry["parts"] if metric.combine is not None else entry["scores"]
    return kept.get(metric.name) is not None


def judged(gate: Gate, before: Interval | None, after: Interval | None) -> dict[str, Any]:
    """Whether a gate holds, with what it was held to; it fails where there is no value after training."""
    base = before.value if before is not None else None
    bound = gate.condition.bound(base)
    held = after is not None and gate.condition.holds(after.value, base)
    return {"metric": gate.metric, "gate": gate.text, "bound": bound, "passed": held}


def metric_report(metric: Metric, before: Entries, after: Entries, seed: int) -> dict[str, Any]:
    """A metric before and after, each with its interval, and the change."""
    first, last = figure(metric, before, seed), figure(metric, after, seed)
    changed = change(metric, before, after, seed) if first and last else None
    return {
        "metric": metric.name,
        "title": metric.title,
        "better": metric.better,
        "before": _json(first),
        "after": _json(last),
        "change": _json(changed),
    }


def _json(value: Interval | Paired | None) -> dict[str, Any] | None:
    """The figures as JSON has them: no infinity, which it cannot write."""
    if value is None:
        return None
    found = asdict(value).items()
    return {name: None if isinstance(one, float) and not isfinite(one) else one for name, one in found}


def flat(metrics: Sequence[Metric], entries: Entries, prefix: str = "") -> dict[str, float | int]:
    """The metrics' values by name, with counts: tokens of a loss, right rows of a share."""
    found: dict[str, float | int] = {}
    for metric in metrics:
        name, value = prefix + metric.name, plain(metric, entries)
        if value is None:
            continue
        found[name] = value
        scores = [score for score in _scores(metric, entries) if score is not None]
        if metric.name == "loss":
            found[f"{name}_tokens"] = sum(int(entry["tokens"]) for entry in entries if entry.get("tokens"))
        elif metric.combine is None and all(score in (0, 1) for score in scores):
            found |= {f"{name}_right": int(sum(scores)), f"{name}_rows": len(scores)}
    return found


def plain(metric: Metric, entries: Entries) -> float | None:
    """A metric over all rows without its interval; None where no row could be scored."""
    from math import fsum

    if metric.combine is not None:
        parts = _parts(metric, entries)
        return metric.combine([fsum(column) for column in zip(*parts, strict=True)]) if parts else None
    scores = [score for score in _scores(metric, entries) if score is not None]
    return fsum(scores) / len(scores) if scores else None


def tokens_an_answer(entries: Entries) -> dict[str, float]:
    """Mean tokens of the prompts and of the answers, where answers were made."""
    made = [entry for entry in entries if "answer_tokens" in entry]
    if not made:
        return {}
    count: Callable[[str], float] = lambda key: sum(entry[key] for entry in made) / len(made)  # noqa: E731
    return {"prompt_tokens": count("prompt_tokens"), "answer_tokens": count("answer_tokens")}
