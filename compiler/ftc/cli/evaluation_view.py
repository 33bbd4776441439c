"""What was measured, as tables: each suite before and after with intervals, its gates, its baselines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ftc.cli.layout import number, table
from ftc.cli.terminal import Terminal

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"
SMALLEST = 0.001
"""P-values below this are not told apart."""

Figure = Mapping[str, Any]


def title_of(suite: str, rows: int) -> str:
    """`held-out rows (512)`, or the suite's name with the number of its rows."""
    name = "held-out rows" if suite == "held_out" else suite
    return f"{name} ({number(rows)})"


def figure_text(figure: Figure | None) -> str:
    """`0.664 (0.621–0.705)`: a value with its 95 % interval."""
    if figure is None:
        return "n/a"
    if figure["value"] is None:
        return "infinite"
    low, high = figure["low"], figure["high"]
    between = "" if low is None or high is None else f" ({_short(low)}{DASH}{_short(high)})"
    return _short(figure["value"]) + between


def _short(value: float) -> str:
    text = f"{value:.3f}" if abs(value) < 1000 else f"{value:,.0f}"
    return text.replace("-", MINUS)


def change_text(change: Figure | None) -> str:
    """`+0.320, p < 0.001`: a difference with its p-value."""
    if change is None or change["difference"] is None:
        return ""
    p_value = change["p_value"]
    told = f"p < {SMALLEST}" if p_value < SMALLEST else f"p = {p_value:.3f}"
    return f"{change['difference']:+.3f}".replace("-", MINUS) + f", {told}"


def name_of(metric: str) -> str:
    """A metric's name in words."""
    return metric.replace("_", " ")


def suite_lines(suite: Mapping[str, Any], terminal: Terminal) -> list[str]:
    """The table of one suite, then its gates and baselines."""
    rows = [
        (
            name_of(one["metric"]),
            *(figure_text(one[when]) for when in ("before", "after")),
            change_text(one["change"]),
        )
        for one in suite["metrics"]
    ]
    head, *body = table([(title_of(suite["suite"], suite["rows"]), "before", "after", "change"), *rows])
    lines = [terminal.style(head, "dim"), *body]
    lines += [_gate(gate, terminal) for gate in suite["gates"]]
    return [*lines, *baseline_lines(suite, terminal)]


def _gate(gate: Mapping[str, Any], terminal: Terminal) -> str:
    passed = terminal.style("passed", "good") if gate["passed"] else terminal.style("failed", "error")
    bound = "" if gate["bound"] is None or "base" not in gate["gate"] else f" = {_short(gate['bound'])}"
    return f"gate {passed}: {name_of(gate['metric'])} {gate['gate']}{bound}"


def baseline_lines(suite: Mapping[str, Any], terminal: Terminal) -> list[str]:
    """The base model by ways of asking, and the tuned one, with the tokens that each takes."""
    if not suite["baselines"]:
        return []
    names = [one["metric"] for one in suite["metrics"]]
    rows = [
        (
            "base, plain prompt",
            *_values(suite["metrics"], "before", names),
            *_tokens(suite["tokens"]["before"]),
        )
    ]
    for baseline in suite["baselines"]:
        kind = {"few_shot": "base, examples", "retrieval": "base, retrieved"}[baseline["baseline"]]
        rows.append((kind, *_values(baseline["metrics"], "value", names), *_tokens(baseline["tokens"])))
    rows.append(("tuned", *_values(suite["metrics"], "after", names), *_tokens(suite["tokens"]["after"])))
    titles = (*map(name_of, names), "tokens of a prompt", "of an answer")
    head, *body = table([("would a prompt have done?", *titles), *rows])
    return ["", terminal.style(head, "dim"), *body]


def _values(metrics: Sequence[Mapping[str, Any]], key: str, names: Sequence[str]) -> list[str]:
    found = {one["metric"]: one[key] for one in metrics}
    return [figure_text(found.get(name)) for name in names]


def _tokens(tokens: Mapping[str, float]) -> tuple[str, str]:
    if not tokens:
        return "", ""
    return f"{tokens['prompt_tokens']:.0f}", f"{tokens['answer_tokens']:.1f}"


def evaluation_lines(evaluation: Mapping[str, Any], terminal: Terminal) -> Iterator[str]:
    """All suites of a run, an empty line between two; a sentence where nothing was measured."""
    suites = evaluation.get("suites") or ()
    if not suites:
        yield "Nothing was measured: no row is held out."
    for place, suite in enumerate(suites):
        if place:
            yield ""
        yield from suite_lines(suite, terminal)
